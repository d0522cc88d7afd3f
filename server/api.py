"""The FHIR API: finds the interaction, resolves the tenant, runs it, answers errors as OperationOutcomes.

A pure ASGI middleware before Starlette's router: it answers what is below `/fhir` and passes the rest on. So a FHIR
request is matched once, by the route table, and not by regular expressions before that.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from fhirstore import FhirStore
from fhirstore.errors import FhirStoreError
from server.call import FHIR_PATH, Call
from server.content import check_accept
from server.outcome import Refused, http_error, library_error
from server.paths import Paths
from server.route import Route
from server.settings import Settings
from server.tenant import RequestTenants


class FhirApi:
    """Everything below `/fhir`, as the route table says."""

    def __init__(self, app: ASGIApp, *, store: FhirStore, settings: Settings, table: Sequence[Route]) -> None:
        self._app = app
        self._tenants = RequestTenants(store, settings)
        self._settings = settings
        self._table = table
        self._paths = Paths(table, base=("{tenant}",) if settings.tenant_source == "path" else ())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(FHIR_PATH):
            await self._app(scope, receive, send)
            return
        try:
            response = await self._answer(scope, receive)
        except FhirStoreError as error:
            response = await library_error(Request(scope), error)
        except HTTPException as error:
            response = await http_error(Request(scope), error)
        await response(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        found = self._paths.find(scope["path"][len(FHIR_PATH) :])
        if found is None:
            raise HTTPException(404)
        handlers, parameters = found
        handler = handlers.get(scope["method"])
        if handler is None:
            allow = ", ".join(handlers)
            raise Refused(405, f"{scope['method']} is not possible here; allowed: {allow}", headers={"Allow": allow})
        headers: dict[bytes, bytes] = dict(scope["headers"])
        check_accept(scope, headers)
        tenant = self._tenants.of(parameters, headers)
        return await handler(Call(scope, receive, parameters, headers, tenant, self._settings, self._table))
