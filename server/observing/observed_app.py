"""The ASGI app around the API that watches each request: metrics, a line of the access log, a span.

Its place is inside of what reads the headers of proxies, so that it sees the client's own address. What only the access
log or traces need is found out where there are such. Benchmark: reads, see docs/performance.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fhirstore import Definitions
from server.http.call import FHIR_PATH
from server.http.paths import Paths
from server.http.route import Route
from server.observing.access_log import Request
from server.observing.interaction_names import NONE, interaction_names
from server.observing.observers import Observers
from server.observing.request import SEEN, Seen, reset_current, set_current
from server.settings import Settings

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class ObservedApp:
    """Passes every request on to `app`, and tells `observers` of it."""

    def __init__(
        self,
        app: ASGIApp,
        observers: Observers,
        *,
        table: Iterable[Route],
        settings: Settings,
        definitions: Definitions,
        other_paths: Iterable[str],
    ) -> None:
        """`other_paths`: those outside of FHIR, which have no parameters."""
        table = [route for route in table if route.served(settings)]
        base = ("{tenant}",) if settings.tenant_source == "path" else ()
        self._app = app
        self._observers = observers
        self._measures = observers.measures
        self._by_request = observers.by_request
        self._names = interaction_names(table)
        self._paths = Paths(table, definitions=definitions, base=base)
        self._types = definitions.resources
        self._other_paths = frozenset(other_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        method = scope["method"]
        seen = scope[SEEN] = Seen()
        measures = self._measures

        def sending(message: Message) -> object:
            if message["type"] == "http.response.start":
                seen.status = message["status"]
            else:
                seen.sent += len(message.get("body", b""))
            return send(message)

        token = None
        if self._by_request:
            token = set_current(seen)
            if self._observers.traces is not None:
                seen.span = self._observers.traces.begin(scope["headers"])
        if measures is not None:
            measures.in_flight += 1
        gone = False
        try:
            await self._app(
                scope,
                receive if method == "GET" else _counting(receive, seen),
                sending,  # type: ignore[arg-type] # it returns what `send` returns, without a frame of its own
            )
        except asyncio.CancelledError:
            gone = True
            raise
        finally:
            seconds = perf_counter() - began
            if gone and not seen.sent:
                seen.status = 0
            handler = None if seen.endpoint is None else seen.endpoint.handlers.get(method)
            interaction = self._names[handler] if handler is not None else self._other(scope["path"])
            if measures is not None:
                measures.in_flight -= 1
                measures.received += seen.received
                measures.sent += seen.sent
                measures.answered(interaction, seen.status, seconds)
                if seen.tenant is not None and measures.by_tenant:
                    measures.answered_for(seen.tenant.id, seen.status, seconds)
            if token is not None:
                reset_current(token)
                self._tell(scope, seen, interaction, seconds)

    def _other(self, path: str) -> str:
        return path if path in self._other_paths else NONE

    def _tell(self, scope: Scope, seen: Seen, interaction: str, seconds: float) -> None:
        """Writes a line and ends the span."""
        log, traces = self._observers.log, self._observers.traces
        endpoint = seen.endpoint
        route = "-"
        if endpoint is not None:
            route, _ = self._paths.template_of(scope["path"][len(FHIR_PATH) :])
        elif interaction in self._other_paths:
            route = interaction
        method = scope["method"] if scope["method"] in _METHODS else "-"
        tenant = "" if seen.tenant is None else seen.tenant.id
        if log is not None:
            parameters = {} if endpoint is None else endpoint.parameters
            type_ = parameters.get("type", "")
            known = type_ in self._types
            log.note(
                Request(
                    interaction=interaction,
                    method=method,
                    request_id=seen.request_id.decode("ascii"),
                    route=route,
                    status=seen.status,
                    tenant=tenant,
                    type=type_ if known else "",
                    id=parameters.get("id", "") if known else "",
                    criteria=scope["query_string"].decode("latin-1"),
                    received=seen.received,
                    sent=seen.sent,
                    seconds=seconds,
                    storage=seen.storage,
                    client=(scope.get("client") or ("",))[0],
                    trace="" if traces is None else traces.id_of(seen),
                )
            )
        if traces is not None:
            traces.end(seen, interaction=interaction, method=method, route=route, tenant=tenant)


def _counting(receive: Receive, seen: Seen) -> Receive:
    """Returns a `receive` that counts the bytes of the body."""

    async def receiving() -> Message:
        message = await receive()
        if message["type"] == "http.request":
            seen.received += len(message.get("body", b""))
        return message

    return receiving
