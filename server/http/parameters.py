"""Parameters of the URL that an interaction does not have are refused by name, and not passed over.

A misspelt `_elments` would show everything, `POST [type]?identifier=…` would create what is there already. Who prefers
`handling=lenient` is spared, and with FHIRSTORE_HANDLING=lenient who does not prefer `strict`. Searches and conditions
have more to say on it: `server.http.search_parameters`.

https://hl7.org/fhir/R4/http.html#parameters
"""

from __future__ import annotations

import re

from fhirstore.errors import InvalidResource
from server.content.representation import PARAMETERS
from server.http.call import Call
from server.http.prefer import is_lenient

_NAME = re.compile(r"[A-Za-z0-9_:.-]{1,64}")


def refuse_unknown(call: Call, *known: str) -> None:
    """Raises InvalidResource for a parameter that is none of `known`, nor one that every interaction has."""
    if not call.scope["query_string"] or is_lenient(call):
        return
    heard = (*known, *PARAMETERS)
    unknown = sorted({name if _NAME.fullmatch(name) else "one with an odd name" for name, _ in call.query} - {*heard})
    if unknown:
        raise InvalidResource(
            f"Unknown parameters: {', '.join(unknown)}; here there are {', '.join(heard)}", code="not-supported"
        )
