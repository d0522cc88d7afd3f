"""`POST [base]/auth/token`: a client's signed assertion for an access token.

The order of the checks: form, bound on failures, client, signature, claims, `jti`, scopes. Until the signature is
verified every refusal that depends on the client says the same, so that nobody learns which clients there are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from starlette.requests import ClientDisconnect
from starlette.responses import Response

from fhirstore import Client, FhirStore
from fhirstore.errors import FhirStoreError
from server.access.smart.assertions import ALGORITHMS, check_assertion, check_header, client_named
from server.access.smart.clients import RegisteredClients
from server.access.smart.failures import Failures
from server.access.smart.grants import ScopeRefused, granted
from server.access.smart.own_tokens import LIFETIME, OwnTokens
from server.access.smart.requests import LONGEST, TokenRefused, TokenRequest, read_request, token_answer
from server.access.tokens.bad_token import BadToken
from server.access.tokens.jws import SignedToken, check_algorithm, read
from server.access.tokens.key_sets import KeySets, KeysUnavailable
from server.access.tokens.keys import PublicKey, keys_of, verify
from server.auditing.touched import touch_agent
from server.http.call import Call

TOKEN_PATH = "/auth/token"  # noqa: S105 - a path
_UNKNOWN = "The client is not registered here, or its assertion is not signed with a key of its registration"


class Authorization:
    """The token endpoint of a process. `now`: epoch seconds."""

    def __init__(
        self,
        store: FhirStore,
        clients: RegisteredClients,
        key_sets: KeySets,
        tokens: OwnTokens,
        *,
        now: Callable[[], float] = time.time,
        failures: Failures | None = None,
    ) -> None:
        self._store = store
        self._clients = clients
        self._key_sets = key_sets
        self._tokens = tokens
        self._now = now
        self._failures = failures or Failures()

    async def answer(self, call: Call) -> Response:
        """Returns the answer to a token request: a token, or an error of RFC 6749.

        2 GET and 1 PUT in general. Commit point: the PUT that uses the assertion up; after it a token is issued.
        """
        try:
            body = await _received(call)
            form = call.header(b"content-type") or ""
            request = read_request(form, body, authorization=b"authorization" in call.headers)
            return await self._granted(call, request)
        except TokenRefused as refused:
            return refused.answer()
        except (KeysUnavailable, FhirStoreError):
            text = "Something that is needed for this does not answer; try again later"
            return TokenRefused("temporarily_unavailable", text, status=503, wait=5).answer()

    async def _granted(self, call: Call, request: TokenRequest) -> Response:
        address, named = (call.scope.get("client") or ("",))[0], ""
        self._check_failures(address, named)
        try:
            token = read(request.assertion)
            named = client_named(token)
            self._check_failures(address, named)
            client, jti = await self._proven(call, token, named)
            tenant = self._store.tenant(client.tenant)
            touch_agent(call.scope, client=client.id, tenant=tenant)
            if not await tenant.credentials.assertions.use(client.id, jti):
                raise BadToken("The assertion was used before (jti); make a new one for each request")
        except BadToken as bad:
            self._failures.count(address, named)
            raise TokenRefused("invalid_client", bad.reason) from None
        try:
            scope = granted(request.scope, client.scopes, release=self._store.release)
        except ScopeRefused as refused:
            raise TokenRefused("invalid_scope", str(refused)) from None
        return token_answer(await self._tokens.issue(client, scope), expires_in=LIFETIME, scope=scope)

    async def _proven(self, call: Call, token: SignedToken, named: str) -> tuple[Client, str]:
        """Returns the client whose assertion it is, and the assertion's `jti`. Raises BadToken, KeysUnavailable."""
        check_algorithm(token, ALGORITHMS)
        client = await self._clients.find(named)
        if client is None or call.parameters.get("tenant", client.tenant) != client.tenant:
            raise BadToken(_UNKNOWN)
        try:
            verify(token, await self._keys_for(client, token))
        except BadToken:
            raise BadToken(_UNKNOWN) from None
        check_header(token, client)
        endpoint = f"{call.base_url}{TOKEN_PATH}"
        return client, check_assertion(token, client, audiences=(endpoint,), now=self._now())

    async def _keys_for(self, client: Client, token: SignedToken) -> Sequence[PublicKey]:
        if client.jwks_uri is not None:
            return await self._key_sets.at(client.jwks_uri).keys_for(token)
        keys = (client.jwks or {}).get("keys")
        return keys_of(keys) if isinstance(keys, list) else ()

    def _check_failures(self, address: str, named: str) -> None:
        wait = self._failures.wait(address, named)
        if wait:
            raise TokenRefused("temporarily_unavailable", "Too many requests have failed; wait", status=429, wait=wait)


async def _received(call: Call) -> bytes:
    """Returns the body. Raises TokenRefused where it is too long, ClientDisconnect."""
    body = bytearray()
    while True:
        message = await call.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > LONGEST:
            raise TokenRefused("invalid_request", f"The body has more than {LONGEST:,} bytes", status=413)
        if not message.get("more_body", False):
            return bytes(body)
