"""A line of the route table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from starlette.responses import Response

from server.documents.contract import Contract
from server.http.call import Call
from server.settings import Settings

Handler = Callable[[Call], Awaitable[Response]]


def always(_: Settings) -> bool:
    """A line that both documents have whatever the settings are."""
    return True


@dataclass(frozen=True, slots=True)
class Route:
    """The handler of one method at one path below the FHIR base.

    `codes`: as in `CapabilityStatement.rest…interaction.code`; none where `claims`, `operation` or another line say it.
    `doc`: a summary, for the OpenAPI document. `contract`: its parameters, headers and statuses, for the same.
    `claims`: members of `CapabilityStatement.rest.resource` that this line makes true. `operation`: name and canonical
    URL of an OperationDefinition. `advertised`: whether both documents have the line.
    """

    method: str
    path: str
    handler: Handler
    codes: tuple[str, ...]
    doc: str
    contract: Contract
    claims: Mapping[str, object] = field(default_factory=dict)
    operation: tuple[str, str] | None = None
    advertised: Callable[[Settings], bool] = always
