"""Parameters of the URL that an interaction does not have are refused by name and not ignored.

With `Prefer: handling=lenient`, or with FHIRSTORE_HANDLING=lenient and no `handling=strict`, they are ignored.

https://hl7.org/fhir/R4/http.html#parameters
"""

from __future__ import annotations

from fhirstore import refuse_unknown
from server.http.call import Call
from server.http.prefer import is_lenient


def refuse_others(call: Call, *known: str) -> None:
    """Raises InvalidResource for a parameter that is not in `known` and not one that every interaction has."""
    if call.scope["query_string"] and not is_lenient(call):
        refuse_unknown(call.query, known)
