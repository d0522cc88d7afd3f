"""The criteria of a conditional interaction, from its URL.

https://hl7.org/fhir/R4/http.html#cond-update: "a search URL", as `PUT [base]/[type]?[search parameters]`.
"""

from __future__ import annotations

from urllib.parse import urlencode

from server.call import Call
from server.content.representation import PARAMETERS


def url_criteria(call: Call) -> str:
    """The URL's parameters, without those that say how the answer should look."""
    given = call.request.query_params.multi_items()
    return urlencode([(name, value) for name, value in given if name not in PARAMETERS])


def header_criteria(call: Call, header: bytes) -> str | None:
    """The criteria in a header, as they came; None where there is no such header."""
    value = call.headers.get(header)
    return None if value is None else value.decode("utf-8", "replace")
