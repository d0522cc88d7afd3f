"""`_pretty`: JSON for people to read. Only white space is added; literals, escapes and the order of members stay.

XML is indented by fhirstore.fhir.xml.write. https://hl7.org/fhir/R4/http.html#pretty
"""

from __future__ import annotations

import msgspec


def indented(body: bytes) -> bytes:
    """Returns JSON bytes with one member a line and two spaces a level; numbers and strings are not decoded."""
    return msgspec.json.format(body, indent=2)
