"""One FHIR request on its way through the server: what an interaction needs to know of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
from starlette.requests import Request
from starlette.types import Receive, Scope

from fhirstore import TenantStore
from fhirstore.search.query import parse_query
from server.access.forwarded import PREFIX
from server.content.representation import AS_STORED, Representation
from server.settings import Settings

if TYPE_CHECKING:
    from server.http.route import Route
    from server.http.watch import Watch

FHIR_PATH = "/fhir"


class Call(msgspec.Struct, frozen=True):
    """A request, its tenant resolved.

    `parameters`: of the path; `headers`: names in lower case; `table`: the route table in force; `representation`: the
    form that the answer should have; `watch`: of the server process.
    """

    scope: Scope
    receive: Receive
    parameters: Mapping[str, str]
    headers: Mapping[bytes, bytes]
    tenant: TenantStore
    settings: Settings
    table: Sequence[Route]
    representation: Representation = AS_STORED
    release: str = "4.0"
    request_id: bytes = b""
    watch: Watch | None = None

    @property
    def request(self) -> Request:
        """Starlette's view of the request, for what is not needed on every one."""
        return Request(self.scope, self.receive)

    @property
    def query(self) -> list[tuple[str, str]]:
        """The URL's parameters, unquoted, in the order given. Raises InvalidResource."""
        return parse_query(self.scope["query_string"])

    @property
    def type(self) -> str:
        """The `[type]` of the URL."""
        return self.parameters["type"]

    @property
    def id(self) -> str:
        """The `[id]` of the URL."""
        return self.parameters["id"]

    @property
    def base_url(self) -> str:
        """The absolute URL of this tenant's FHIR API, as the client sees it, without a slash at the end."""
        root = self.settings.base_url
        if root is None:
            authority = self.header(b"host") or "{}:{}".format(*self.scope["server"])
            root = f"{self.scope['scheme']}://{authority}{self.scope.get(PREFIX, '')}{FHIR_PATH}"
        return f"{root}/{self.parameters['tenant']}" if self.settings.tenant_source == "path" else root

    def still_coming(self) -> None:
        """The client is still sending its body: that is not time in which the server owes an answer."""
        if self.watch is not None:
            self.watch.deadlines.extend()

    def failed(self, status: int, error: Exception) -> None:
        """An entry of the Bundle failed with this status, 5xx: leaves a line in the log."""
        if self.watch is not None:
            self.watch.failed(self.scope, self.headers, self.request_id, status, error)

    def header(self, name: bytes) -> str | None:
        """A header's value; `name` in lower case."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")
