"""The criteria of a conditional interaction, from its URL or a header.

https://hl7.org/fhir/R4/http.html#cond-update: "a search URL", as `PUT [base]/[type]?[search parameters]`.
"""

from __future__ import annotations

from urllib.parse import urlencode

from fhirstore import FORM_PARAMETERS
from server.http.call import Call


def url_criteria(call: Call) -> str:
    """Returns the URL's parameters without those for the form of the answer. Raises InvalidResource."""
    if not call.scope["query_string"]:
        return ""
    return urlencode([pair for pair in call.query if pair[0] not in FORM_PARAMETERS])


def header_criteria(call: Call, header: bytes) -> str | None:
    """Returns the criteria in a header as they were sent, without the base URL that some clients (HAPI) put before the
    type; None without the header.
    """
    value = call.headers.get(header)
    return None if value is None else value.decode("utf-8", "replace").removeprefix(f"{call.base_url}/")
