"""The Prefer header (https://hl7.org/fhir/R4/http.html#return, https://www.rfc-editor.org/rfc/rfc7240).

A preference that this server does not know is passed over, as the RFC says. Some clients part preferences with
semicolons where commas belong; both are read.
"""

from __future__ import annotations

import re

from starlette.responses import Response

from server.http.call import Call

_SEPARATORS = re.compile(r"[,;]")
_RETURNS = {"minimal": "minimal", "representation": "representation", "operationoutcome": "OperationOutcome"}
_HANDLINGS = {"strict": "strict", "lenient": "lenient"}


def returned(call: Call) -> str | None:
    """What a write should answer: `minimal`, `representation`, `OperationOutcome`; None: nothing is preferred."""
    return _RETURNS.get(_preference(call, "return"))


def handling(call: Call) -> str | None:
    """What to do with parameters the server does not know: `strict` or `lenient`; None: nothing is preferred."""
    return _HANDLINGS.get(_preference(call, "handling"))


def is_lenient(call: Call) -> bool:
    """Are parameters that the server does not know ignored? As the client prefers, else as the server is set."""
    return (handling(call) or call.settings.handling) == "lenient"


def applied(response: Response, name: str, value: str | None) -> Response:
    """The answer, which says that this preference was heeded; as it is where there was none."""
    if value is not None:
        response.raw_headers.append((b"preference-applied", f"{name}={value}".encode("ascii")))
    return response


def _preference(call: Call, name: str) -> str:
    """The first value given for `name`, in lower case; empty if there is none."""
    header = call.headers.get(b"prefer")
    if header is None:
        return ""
    for part in _SEPARATORS.split(header.decode("latin-1")):
        key, _, value = part.partition("=")
        if key.strip().lower() == name:
            return value.strip().strip('"').lower()
    return ""
