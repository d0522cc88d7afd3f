"""What a line of the route table holds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from starlette.responses import Response

from server.documents.contract import Contract
from server.http.call import Call
from server.settings import Settings

Handler = Callable[[Call], Awaitable[Response]]


def always(_: Settings) -> bool:
    """Advertised whatever the settings are."""
    return True


@dataclass(frozen=True, slots=True)
class Route:
    """What answers one method at one path, which is below the FHIR base.

    `codes`: as in `CapabilityStatement.rest…interaction.code`; none: told there by `claims`, by `operation` or by
    another line. `contract`: what it takes and gives, for the OpenAPI document. `claims`: members of
    `CapabilityStatement.rest.resource` that are true because of this line. `operation`: name and canonical URL of an
    OperationDefinition. `advertised`: False keeps the line out of both documents.
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
