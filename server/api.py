"""The FHIR API as one ASGI app: finds the interaction, resolves the tenant, runs it. Errors are raised to the app."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from fhirstore import FhirStore
from server.call import FHIR_PATH, Call
from server.content import check_accept
from server.outcome import Refused
from server.paths import Paths
from server.route import Route
from server.settings import Settings
from server.tenant import RequestTenants


class FhirApi:
    """Everything below `/fhir`, as the route table says."""

    def __init__(self, store: FhirStore, settings: Settings, table: Sequence[Route]) -> None:
        self._tenants = RequestTenants(store, settings)
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
        tenant = self._tenants.of(parameters, headers)
        call = Call(request, parameters, headers, tenant, self._settings, self._table)
        response = await handler(call)
        await response(scope, receive, send)
