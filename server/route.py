"""What a line of the route table holds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.responses import Response

from server.call import Call

Handler = Callable[[Call], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """One interaction. `path` is below the FHIR base; `code` as in `CapabilityStatement.rest…interaction.code`.

    `code` None: not advertised (an interaction that is not built yet, or no FHIR interaction).
    """

    method: str
    path: str
    handler: Handler
    code: str | None
    doc: str
