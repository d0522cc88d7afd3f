"""The FHIR API: finds the interaction, resolves the tenant, runs it, answers errors as OperationOutcomes.

A pure ASGI app before Starlette's router: it answers what is below `/fhir` and passes the rest on, so that a FHIR
request is matched once, by the route table, and not by regular expressions. Benchmark: reads, see docs/performance.md.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from fhirstore import (
    Access,
    FhirStore,
    RetryBudget,
    TenantStore,
    is_tenant_id,
    reset_retry_budget,
    set_retry_budget,
)
from fhirstore.errors import Unavailable, UnknownTenant
from server.access.hosts import AllowedHosts
from server.access.refusals import Refusals
from server.access.tenant import RequestTenants
from server.access.turns import RequestTurn, Turns
from server.access.usage import USAGE, RequestUsage, TenantUsage, usage_of
from server.auditing.audit import Audit
from server.auditing.touched import TOUCHED, Touched, touch_agent
from server.content.binary import negotiable
from server.content.compress import CompressedSend, coding_for
from server.content.representation import AS_STORED, Representation, wanted
from server.http.call import FHIR_PATH, Call
from server.http.deadlines import Deadlines
from server.http.outcome import error_answer
from server.http.paths import Endpoint
from server.http.refusal import NO_ENDPOINT, Refused
from server.http.response_headers import ResponseHeaders
from server.http.route import Handler, Route
from server.http.unread import Unread
from server.http.watch import Watch
from server.observing.request import SEEN, Seen
from server.settings import Settings

if TYPE_CHECKING:
    from server.access.authentication import Authentication

_BELOW = f"{FHIR_PATH}/"
_OWN_FORMS = ("/$export", "/_export/", "/_submission/", "/auth/token", "/.well-known/")
_READS = ("/_search", "/$validate")  # POSTs that change nothing
_WITH_BODY = ("POST", "PUT", "PATCH")
_AFTER_DEADLINE = 5  # seconds
_MOST_PATIENCE = 10.0  # seconds that a request waits for its turn


class FhirApi:
    """Answers everything below `/fhir`, as the route table says."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        store: FhirStore,
        settings: Settings,
        table: Sequence[Route],
        deadlines: Deadlines | None = None,
        audit: Audit | None = None,
    ) -> None:
        self._app = app
        self._audit = audit
        self._tenants = RequestTenants(store, settings)
        self._settings = settings
        self._hosts = AllowedHosts(settings.allowed_hosts)
        self._store = store
        self._headers = ResponseHeaders(settings)
        self._authentication = _authentication(store, settings)
        self._open = {route.handler: route.access for route in table if route.access != "token"}
        self._watch = Watch.of(table, settings, store, deadlines=deadlines, authentication=self._authentication)
        self._paths = self._watch.paths
        self._deadlines = self._watch.deadlines
        self._usage = TenantUsage(settings.settings_of) if settings.limits_tenants else None
        self._paced = {429: Refusals(), 401: Refusals()}
        self._turns = None if settings.only_tenant is not None else _turns(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else ""
        if not path.startswith(_BELOW) and path != FHIR_PATH:
            await self._app(scope, receive, send)
            return
        if self._audit is not None:
            self._audit.begin(scope)
        if self._usage is None:
            await self._serve(path, scope, receive, send)
            return
        usage = scope[USAGE] = RequestUsage(self._usage, receive, send)
        try:
            await self._serve(path, scope, usage.receive, usage.send)
        finally:
            usage.end()

    async def _serve(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request to `path`."""
        headers = _headers(scope)
        request_id = self._headers.request_id(headers)
        representation = AS_STORED
        task, budget = self._deadlines.begin(), RetryBudget()
        token = set_retry_budget(budget)
        try:
            try:
                if not any(part in path for part in _OWN_FORMS):
                    negotiated = negotiable(path, headers, self._store.release)
                    representation = wanted(scope["query_string"], negotiated, self._store)
            finally:  # a missing path or method takes precedence over a form that is not supported
                endpoint = self._endpoint(path, scope, request_id)
            response = await self._answer(scope, receive, headers, endpoint, representation, request_id=request_id)
        except ClientDisconnect:  # in the middle of its body: nothing was done
            return
        except asyncio.CancelledError:
            if not self._deadlines.missed(task):
                self._went_away(scope, request_id)
                raise
            response = error_answer(_too_late(scope, self._settings.request_timeout), representation)
            self._watch.failed(scope, headers, request_id, 504, None)
        except Exception as error:  # noqa: BLE001 - the edge of the app: every error is answered, and logged
            response = error_answer(error, representation)
            if response.status_code >= 500:
                why = error.why if isinstance(error, Unread) else error
                self._watch.failed(scope, headers, request_id, response.status_code, why)
                if budget.probe_in and "retry-after" in response.headers:
                    response.headers["Retry-After"] = str(math.ceil(budget.probe_in))
        finally:
            self._deadlines.end(task)
            reset_retry_budget(token)
        if self._audit is not None:
            response = await self._audited(self._audit, scope, response, request_id, representation)
        if response.status_code in self._paced:
            await self._paced[response.status_code].pace()
        self._headers.add(response, headers, request_id)
        if b"accept-encoding" in headers:
            coding = coding_for(headers[b"accept-encoding"].decode("latin-1"))
            send = send if coding is None else CompressedSend(send, coding)
        await response(scope, receive, send)

    async def _audited(
        self, audit: Audit, scope: Scope, response: Response, request_id: bytes, representation: Representation
    ) -> Response:
        """Tells the audit log what the request did. Returns the answer: 503 where it must be stored, and was not."""
        try:
            await audit.note(scope, response.status_code, request_id)
        except Unavailable as error:
            return error_answer(error, representation)
        return response

    def _went_away(self, scope: Scope, request_id: bytes) -> None:
        """The client of this request went away before it was answered."""
        if self._audit is not None:
            self._audit.add(scope, 0, request_id)

    def _endpoint(self, path: str, scope: Scope, request_id: bytes) -> Endpoint:
        """Returns the endpoint at `path`. Raises Refused (404, 405, 501)."""
        seen: Seen | None = scope.get(SEEN)
        if seen is not None:
            seen.request_id = request_id
        raw = scope.get("raw_path", b"")
        if b"%" in raw and b"%2f" in raw.lower():  # a slash inside of a segment; no segment of a FHIR URL has one
            raise Refused(404, NO_ENDPOINT)
        method = scope["method"]
        endpoint = self._paths.find(path[len(FHIR_PATH) :], method)
        if seen is not None:
            seen.endpoint = endpoint
        touched: Touched | None = scope.get(TOUCHED)
        if touched is not None:
            touched.endpoint = endpoint
        if method not in endpoint.handlers and method != "OPTIONS":
            text = f"{method} is not possible here; allowed: {endpoint.allow}"
            raise Refused(405, text, headers={"Allow": endpoint.allow})
        return endpoint

    async def _answer(
        self,
        scope: Scope,
        receive: Receive,
        headers: Mapping[bytes, bytes],
        endpoint: Endpoint,
        representation: Representation,
        *,
        request_id: bytes,
    ) -> Response:
        self._hosts.check(scope, headers)
        handler = endpoint.handlers.get(scope["method"])
        if handler is None:
            return Response(None, 204, {"Allow": endpoint.allow})
        parameters = endpoint.parameters
        tenant: TenantStore | None
        access: Access | None = None
        if self._authentication is None:
            tenant = self._tenants.of(parameters, headers)
        elif (verified := self._authentication.verification.kept(headers)) is not None and handler not in self._open:
            touch_agent(scope, client=verified.access.client, user=verified.access.subject)
            tenant, access = self._tenants.acting(verified, parameters, headers), verified.access
        else:
            tenant, access = await self._admitted(handler, parameters, headers, scope)
        self._tell_tenant(scope, tenant)
        id_ = "" if tenant is None else tenant.id  # "": a public path, which is nobody's
        turns = self._turns if id_ else None
        usage = usage_of(scope) if id_ else None
        if usage is not None:
            usage.begin(id_)
        turn: RequestTurn | None = None
        if turns is not None:
            if scope["method"] in _WITH_BODY:
                turn = RequestTurn(turns, id_, receive, most=self._settings.max_body)
                receive = turn.receive
            elif not turns.begin(id_):
                await turns.wait(id_)
        try:
            return await handler(
                Call(
                    scope,
                    receive,
                    parameters,
                    headers,
                    self._store,
                    tenant,
                    self._settings,
                    self._watch,
                    representation,
                    request_id,
                    access,
                )
            )
        finally:
            if turn is not None:
                turn.end()
            elif turns is not None:
                turns.end(id_)

    def _tell_tenant(self, scope: Scope, tenant: TenantStore | None) -> None:
        """Tells those who watch the request whose it is. Raises Unavailable where its audit event has no room."""
        seen: Seen | None = scope.get(SEEN)
        if seen is not None:
            seen.tenant = tenant
        touched: Touched | None = scope.get(TOUCHED)
        if touched is not None and self._audit is not None:
            touched.tenant = tenant
            self._audit.admit(touched, scope["method"])

    async def _admitted(
        self, handler: Handler, parameters: Mapping[str, str], headers: Mapping[bytes, bytes], scope: Scope
    ) -> tuple[TenantStore | None, Access | None]:
        """Returns the tenant of a request as its token may use it, and what the token allows; no tenant: a public path.

        A ticket is verified by the handler. Raises Refused (401, 404, 503), AccessDenied.
        """
        assert self._authentication is not None  # noqa: S101 - the caller has looked
        how = self._open.get(handler)
        if how is None:
            verified = await self._authentication.verification.verified(headers)
            touch_agent(scope, client=verified.access.client, user=verified.access.subject)
            return self._tenants.acting(verified, parameters, headers), verified.access
        if how == "public":
            if not is_tenant_id(parameters.get("tenant", "public")):
                raise Refused(404, NO_ENDPOINT)
            return None, None
        try:
            return self._tenants.of(parameters, headers), None
        except UnknownTenant:  # refused as a ticket that is not valid, so that nobody learns which tenants there are
            return None, None


def _authentication(store: FhirStore, settings: Settings) -> Authentication | None:
    """Returns the authentication of this process; None: nobody needs a token. Raises StoreMisconfigured."""
    if not settings.authenticates:
        return None
    from server.access.authentication import Authentication  # noqa: PLC0415 - with its cryptography, where it is needed

    return Authentication.of(store, settings)


def _turns(settings: Settings) -> Turns:
    """Returns the turns of the tenants of this process."""
    return Turns(
        settings.max_concurrent_requests,
        weight=lambda tenant: settings.settings_of(tenant).weight,
        patience=min(_MOST_PATIENCE, settings.request_timeout / 2),
    )


def _too_late(scope: Scope, seconds: float) -> Refused:
    """Returns the refusal of a request that missed its deadline."""
    reads = scope["method"] in ("GET", "HEAD") and not scope["path"].endswith("/$export")
    if reads or scope["path"].endswith(_READS):
        text = "nothing was changed; try again later"
    else:
        text = "it may have been applied, or may still be; read back before you send it again"
    headers = {"Retry-After": str(_AFTER_DEADLINE)}
    return Refused(504, f"The request took longer than {seconds:g} s; {text}", headers=headers, code="timeout")


def _headers(scope: Scope) -> dict[bytes, bytes]:
    """Returns the headers by name; several lines of one name are joined to a list (RFC 9110, 5.3)."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    if len(headers) < len(scope["headers"]):
        headers = {}
        for name, value in scope["headers"]:
            headers[name] = headers[name] + b", " + value if name in headers else value
    return headers
