"""The FHIR API as one ASGI app: finds the interaction, resolves the tenant, runs it. Errors are raised to the app."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from fhirstore import FhirStore
from server.call import Call
from server.content import check_accept
from server.outcome import Refused
from server.paths import Paths
from server.route import Route
from server.settings import Settings
from server.tenant import tenant_of

FHIR_PATH = "/fhir"


class FhirApi:
    """Everything below `/fhir`, as the route table says."""

    def __init__(self, store: FhirStore, settings: Settings, table: Sequence[Route]) -> None:
        self._store = store
        self._settings = settings
        self._table = table
        self._paths = Paths(table, base=("{tenant}",) if settings.tenant_source == "path" else ())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._paths.find(scope["path"].removeprefix(FHIR_PATH))
        if found is None:
            raise HTTPException(404)
        handlers, parameters = found
        handler = handlers.get(scope["method"])
        if handler is None:
            allow = ", ".join(handlers)
            raise Refused(405, f"{scope['method']} is not possible here; allowed: {allow}", headers={"Allow": allow})
        request = Request(scope, receive)
        headers: dict[bytes, bytes] = dict(scope["headers"])
        check_accept(request, headers)
        tenant = tenant_of(parameters, headers, self._settings)
        call = Call(
            request=request,
            parameters=parameters,
            headers=headers,
            tenant=self._store.tenant(tenant),
            base_url=self._base_url(scope, headers, tenant),
            settings=self._settings,
            table=self._table,
        )
        response = await handler(call)
        await response(scope, receive, send)

    def _base_url(self, scope: Scope, headers: dict[bytes, bytes], tenant: str) -> str:
        root = self._settings.base_url
        if root is None:
            host = headers.get(b"host")
            authority = host.decode("latin-1") if host else "{}:{}".format(*scope["server"])
            root = f"{scope['scheme']}://{authority}{FHIR_PATH}"
        return f"{root}/{tenant}" if self._settings.tenant_source == "path" else root
