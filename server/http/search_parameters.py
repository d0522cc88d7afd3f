"""Which search parameters FHIR has, whether this server supports them or not.

So that a misspelt one is the client's mistake (400), and one that this server lacks is the server's (501).
https://hl7.org/fhir/R4/searchparameter-registry.html
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from fhirstore.errors import InvalidResource
from fhirstore.fhir.definitions.load import definitions
from server.http.call import Call

Pairs = Sequence[tuple[str, str]]
"""Names and values of parameters, unquoted, in the order given."""

# https://hl7.org/fhir/R4/search.html#summary-of-parameters: those that no SearchParameter resource defines
_RESULT_PARAMETERS = frozenset(
    ("_sort", "_include", "_revinclude", "_total", "_contained", "_containedType", "_has", "_type", "_list", "_graph")
)
_CODE = re.compile(r"[A-Za-z0-9_-]{1,64}")


def refuse_unheard(call: Call, type_: str | None, asked: Pairs) -> None:
    """Raises InvalidResource for a name that FHIR does not know in a search of `type_` (None: of all types)."""
    facts = definitions(call.release).search_parameters
    if type_ is not None:
        known = set(facts.get(type_, ()))
    else:
        named = [one for name, value in asked if name == "_type" for one in value.split(",")]
        known = {code for code in facts["Basic"] if code.startswith("_")}.union(*(facts.get(one, ()) for one in named))
    for name, _ in asked:
        code = re.split(r"[:.]", name, maxsplit=1)[0]
        if known and code not in known and code not in _RESULT_PARAMETERS:
            shown = f"'{code}'" if _CODE.fullmatch(code) else "of that name"
            raise InvalidResource(f"FHIR has no search parameter {shown} here", code="not-supported")
