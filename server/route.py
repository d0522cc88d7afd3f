"""What a line of the route table holds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from starlette.responses import Response

from server.call import Call

Handler = Callable[[Call], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """What answers one method at one path, which is below the FHIR base.

    `codes`: as in `CapabilityStatement.rest…interaction.code`; none: not advertised (an interaction that is not built
    yet, or no FHIR interaction). `claims`: members of `CapabilityStatement.rest.resource` that are true because of
    this line. `operation`: the canonical URL of an OperationDefinition.
    """

    method: str
    path: str
    handler: Handler
    codes: tuple[str, ...]
    doc: str
    claims: Mapping[str, object] = field(default_factory=dict)
    operation: str | None = None
