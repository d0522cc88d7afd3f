"""What `Reference.reference` may be, told from its text alone.

- relative: `Patient/123`, `Patient/123/_history/4`, where the type is one of the release; with `#id`, what is inside
- absolute: `http://example.org/fhir/Patient/123`, or any other URL
- `urn:uuid:…`, `urn:oid:…`: an entry of the same Bundle
- `#id`: a contained resource; `#` alone: the resource that contains
- conditional: `Patient?identifier=…`, in the transactions that resolve it (https://hl7.org/fhir/R4/http.html#trules)

https://hl7.org/fhir/R4/references.html#literal
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby

EXPECTED = (
    "a reference: Type/id of this FHIR release, an absolute URL, urn:uuid: or urn:oid:, #id,"
    " or in a transaction Type?query"
)

_ID = r"[A-Za-z0-9.-]{1,64}"
_URI = r"[^\s\x00-\x1f\x7f]"
_UUID = r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}"


def reference_pattern(resources: Iterable[str]) -> re.Pattern[str]:
    """Matches (in full) every reference that is well formed, `resources` being the types of the release."""
    # Grouped by their first letter, so that the pattern tries some ten of them rather than all.
    groups = groupby(sorted(resources), key=lambda name: name[0])
    types = "|".join(f"{letter}(?:{'|'.join(name[1:] for name in names)})" for letter, names in groups)
    return re.compile(
        rf"(?:{types})(?:/{_ID}(?:/_history/{_ID})?(?:#{_ID})?|\?{_URI}+)"
        rf"|#(?:{_ID})?"
        rf"|(?:urn:uuid:{_UUID}|urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*+))++)(?:#{_ID})?"
        rf"|(?!urn:(?:uuid|oid):|https?:(?!//[^/?#]))[A-Za-z][A-Za-z0-9+.-]*+:{_URI}+"
    )
