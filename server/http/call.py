"""One FHIR request on its way through the server: what an interaction needs to know of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope

from fhirstore import Access, FhirStore, SupportedSearch, TenantStore, parse_query
from fhirstore.errors import TicketRefused
from server.access.forwarded import PREFIX
from server.content.representation import AS_STORED, Representation
from server.settings import Settings

FHIR_PATH = "/fhir"


class Authentication(Protocol):
    """What handlers ask of the authentication; `server.access.authentication.Authentication` is one."""

    async def token(self, call: Call) -> Response:
        """Return the answer of the token endpoint. Raises Refused (404) where there is none."""
        ...

    async def configuration(self, base_url: str) -> dict[str, object]:
        """Return what `/.well-known/smart-configuration` says of the API at `base_url`. Raises Refused (503)."""
        ...


class ServerProcess(Protocol):
    """What an interaction asks of the server process; `server.http.watch.Watch` is one."""

    @property
    def authentication(self) -> Authentication | None:
        """Who is let in; None: anybody."""
        ...

    def extend_deadline(self) -> None:
        """Begin the running request's deadline anew."""
        ...

    def failed(
        self, scope: Scope, headers: Mapping[bytes, bytes], request_id: bytes, status: int, error: Exception | None
    ) -> None:
        """Log that a request, or an entry of its Bundle, was answered with 5xx because of `error`."""
        ...

    async def capabilities(
        self, base_url: str, *, mode: str, tenant: SupportedSearch | None = None
    ) -> tuple[bytes, str]:
        """Return the CapabilityStatement of the API at `base_url`, as JSON, and its opaque tag.

        `mode`: as in the capabilities interaction. `tenant`: what its searches can ask for; None: as the release says.
        """
        ...

    def poll_again_in(self, job: str) -> int:
        """Count a status request for this job; return 0, or the seconds to wait where these come too fast."""
        ...

    def refuse_missing(self, path: str, method: str) -> None:
        """Raises Refused (404, 405, 501) where the route table has no line for `method` at `path` below the base."""
        ...


class Call(msgspec.Struct, frozen=True):
    """A request, its tenant resolved.

    `parameters`: of the path. `headers`: by name in lower case. `acting`: the tenant's store, restricted to what
    `access` allows; None: the path is public and belongs to no tenant, or a ticket is for a tenant that does not exist.
    `access`: None where tokens are not needed. `representation`: the form that the answer has.
    """

    scope: Scope
    receive: Receive
    parameters: Mapping[str, str]
    headers: Mapping[bytes, bytes]
    store: FhirStore
    acting: TenantStore | None
    settings: Settings
    process: ServerProcess
    representation: Representation = AS_STORED
    request_id: bytes = b""
    access: Access | None = None

    @property
    def tenant(self) -> TenantStore:
        """The tenant's store, for whoever asks. The caller must not be the handler of a public path.

        Raises TicketRefused where a ticket is for a tenant that does not exist.
        """
        if self.acting is None:
            raise TicketRefused
        return self.acting

    @property
    def request(self) -> Request:
        """Starlette's view of the request, for what few interactions need."""
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

    def own(self, name: str) -> str:
        """Returns a name as this tenant and this client mean it: what others do with theirs does not count."""
        client = "" if self.access is None else self.access.client
        return f"{self.tenant.id}/{client}/{name}"

    def failed(self, status: int, error: Exception) -> None:
        """Logs that an entry of the request's Bundle was answered with this status, 5xx."""
        self.process.failed(self.scope, self.headers, self.request_id, status, error)

    def header(self, name: bytes) -> str | None:
        """A header's value, None if it was not sent. `name` is in lower case."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")
