"""The Prefer header (https://hl7.org/fhir/R4/http.html#return, https://www.rfc-editor.org/rfc/rfc7240).

A preference that is not known is ignored, as the RFC says. Some clients separate preferences with semicolons instead of
commas; both are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from starlette.responses import Response

from server.http.call import Call

_SEPARATORS = re.compile(r"[,;]")
_RETURNS = {"minimal": "minimal", "representation": "representation", "operationoutcome": "OperationOutcome"}
_HANDLINGS = {"strict": "strict", "lenient": "lenient"}


def returned(call: Call) -> str | None:
    """Returns what a write should answer: `minimal`, `representation` or `OperationOutcome`; None: no preference."""
    return _RETURNS.get(_preference(call, "return"))


def handling(call: Call) -> str | None:
    """Returns how to treat parameters that are not known: `strict` or `lenient`; None: no preference."""
    return _HANDLINGS.get(_preference(call, "handling"))


def is_lenient(call: Call) -> bool:
    """Whether parameters that are not known are ignored: as the client prefers, else as FHIRSTORE_HANDLING says."""
    return (handling(call) or call.settings.handling) == "lenient"


def applied(response: Response, name: str, value: str | None) -> Response:
    """Adds to the answer that this preference was applied; nothing where `value` is None. Returns the answer."""
    if value is not None:
        response.raw_headers.append((b"preference-applied", f"{name}={value}".encode("ascii")))
    return response


def asks(call: Call, name: str) -> bool:
    """Whether the client prefers `name`, a preference without a value such as `respond-async`."""
    return any(key == name for key, _ in _given(call))


def _preference(call: Call, name: str) -> str:
    """Returns the first value given for `name`, in lower case; "" if there is none."""
    return next((value for key, value in _given(call) if key == name), "")


def _given(call: Call) -> Iterator[tuple[str, str]]:
    """Yields the preferences and their values, in lower case, in the order given."""
    header = call.headers.get(b"prefer")
    if header is None:
        return
    for part in _SEPARATORS.split(header.decode("latin-1")):
        key, _, value = part.partition("=")
        yield key.strip().lower(), value.strip().strip('"').lower()
