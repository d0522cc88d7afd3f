"""The criteria of a conditional interaction, from its URL or a header.

https://hl7.org/fhir/R4/http.html#cond-update: "a search URL", as `PUT [base]/[type]?[search parameters]`.
"""

from __future__ import annotations

from urllib.parse import urlencode

from fhirstore import FORM_PARAMETERS, parse_condition_query, refuse_undefined
from server.http.call import Call


def url_criteria(call: Call) -> str:
    """Returns the URL's parameters without those for the form of the answer. Raises InvalidResource."""
    if not call.scope["query_string"]:
        return ""
    given = [pair for pair in call.query if pair[0] not in FORM_PARAMETERS]
    refuse_undefined(call.store.definitions, call.type, given)
    return urlencode(given)


def header_criteria(call: Call, header: bytes) -> str | None:
    """Returns the criteria in a header as they were sent; None without the header. Raises InvalidResource."""
    value = call.headers.get(header)
    if value is None:
        return None
    text = value.decode("utf-8", "replace")
    refuse_undefined(call.store.definitions, call.type, parse_condition_query(call.type, text))
    return text
