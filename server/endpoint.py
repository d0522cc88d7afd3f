"""One URL of the FHIR API as an ASGI app: picks the interaction by method, resolves the tenant, runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from fhirstore import FhirStore
from server.call import Call
from server.content import check_accept
from server.outcome import Refused
from server.route import Handler, Route
from server.settings import Settings
from server.tenant import tenant_of

FHIR_PATH = "/fhir"


class Endpoint:
    """All methods of one path. Errors are raised; the app's exception handlers answer them."""

    def __init__(
        self, handlers: Mapping[str, Handler], *, store: FhirStore, settings: Settings, table: Sequence[Route]
    ) -> None:
        self._handlers = dict(handlers)
        if "GET" in handlers:
            self._handlers["HEAD"] = handlers["GET"]
        self._store = store
        self._settings = settings
        self._table = table

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        handler = self._handlers.get(scope["method"])
        if handler is None:
            allow = ", ".join(self._handlers)
            raise Refused(405, f"{scope['method']} is not possible here; allowed: {allow}", headers={"Allow": allow})
        check_accept(request)
        tenant = tenant_of(request, self._settings)
        call = Call(request, self._store.tenant(tenant), self._base_url(request, tenant), self._settings, self._table)
        response = await handler(call)
        await response(scope, receive, send)

    def _base_url(self, request: Request, tenant: str) -> str:
        root = self._settings.base_url
        if root is None:
            scope = request.scope
            host = request.headers.get("host") or "{}:{}".format(*scope["server"])
            root = f"{scope['scheme']}://{host}{FHIR_PATH}"
        return f"{root}/{tenant}" if self._settings.tenant_source == "path" else root
