"""A line of the route table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

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
    URL of an OperationDefinition; `former_names`: those it had before, which clients still look for. `served`: whether
    there is such a line at all; `advertised`: whether both documents have it. `safe`: a GET changes nothing, so that
    HEAD may do the same. `access`: what a request needs where tokens are needed at all: a `token`, which the library
    then holds it to; a `ticket` of its own kind, which the handler verifies; `public`: nothing.
    """

    method: str
    path: str
    handler: Handler
    codes: tuple[str, ...]
    doc: str
    contract: Contract
    claims: Mapping[str, object] = field(default_factory=dict)
    operation: tuple[str, str] | None = None
    former_names: tuple[str, ...] = ()
    safe: bool = True
    served: Callable[[Settings], bool] = always
    advertised: Callable[[Settings], bool] = always
    access: Literal["token", "ticket", "public"] = "token"

    def is_documented(self, settings: Settings) -> bool:
        """Whether both documents have this line."""
        return self.served(settings) and self.advertised(settings)
