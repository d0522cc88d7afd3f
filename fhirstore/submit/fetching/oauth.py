"""Access tokens for a provider's manifests and files: client credentials with a signed assertion.

A token is for one origin, that of the `oauthMetadataUrl` it was found by, and is never sent to another: a provider
whose files are elsewhere gives one `oauthMetadataUrl` for each place. All endpoints must be on the submitter's list.
https://hl7.org/fhir/smart-app-launch/backend-services.html, https://www.rfc-editor.org/rfc/rfc9728 (protected
resources), https://www.rfc-editor.org/rfc/rfc8414 (authorization servers)
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError

from fhirstore.clock import Clock, Ids
from fhirstore.errors import SourceFailed
from fhirstore.submit.fetching.keys import Secrets, private_keys, signing_key
from fhirstore.submit.fetching.requests import Requests, unexpected
from fhirstore.submit.fetching.targets import Target

_PROTECTED = "/.well-known/oauth-protected-resource"
_SERVERS = ("oauth-authorization-server", "openid-configuration", "smart-configuration")
_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION = 240  # seconds that an assertion is valid; five minutes are allowed
_LIFE = 300  # seconds of a token that does not say
_MARGIN = 30_000  # ms before its end at which a token is not used any more
_LONGEST_TOKEN = 16 * 1024
_MOST_TOKENS = 256
_ERRORS = frozenset(
    (
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    )
)


class _Metadata(msgspec.Struct, frozen=True):
    """What is read of any of the three kinds of document."""

    resource: str | None = None
    authorization_servers: list[str] | None = None
    issuer: str | None = None
    token_endpoint: str | None = None
    grant_types_supported: list[str] | None = None
    token_endpoint_auth_methods_supported: list[str] | None = None
    token_endpoint_auth_signing_alg_values_supported: list[str] | None = None
    scopes_supported: list[str] | None = None
    capabilities: list[str] | None = None


class _Token(msgspec.Struct, frozen=True):
    access_token: str
    token_type: str
    expires_in: int | float | str | None = None


class _Refusal(msgspec.Struct, frozen=True):
    error: str = ""


_read_metadata = msgspec.json.Decoder(_Metadata).decode
_read_token = msgspec.json.Decoder(_Token).decode
_read_refusal = msgspec.json.Decoder(_Refusal).decode


class TokenCache:
    """Tokens until they expire, by submitter, token endpoint and scope. Bounded; shared by all sources of a process."""

    def __init__(self) -> None:
        self._tokens: dict[tuple[str, str, str], tuple[str, int]] = {}

    def get(self, key: tuple[str, str, str], now: int) -> str | None:
        """Returns the token if it is valid for some time yet."""
        token, expires = self._tokens.get(key, ("", 0))
        return token if now < expires - _MARGIN else None

    def put(self, key: tuple[str, str, str], token: str, expires: int) -> None:
        """Keeps a token until `expires`, epoch ms."""
        self._tokens.pop(key, None)
        while len(self._tokens) >= _MOST_TOKENS:
            del self._tokens[next(iter(self._tokens))]
        self._tokens[key] = (token, expires)


@dataclass(slots=True)
class Authorization:
    """The tokens for one manifest and its files. `urls`: `oauthMetadataUrl`."""

    requests: Requests
    urls: tuple[str, ...]
    secrets: Secrets = field(repr=False)
    tokens: TokenCache = field(repr=False)
    clock: Clock
    ids: Ids
    _servers: dict[str, tuple[Target, _Metadata]] = field(default_factory=dict, repr=False)
    _one: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    async def token(self, target: Target, types: tuple[str, ...], *, instead_of: str | None = None) -> str:
        """Returns an access token for a URL, to read resources of these types; none: of all.

        `instead_of`: a token that was refused. 0 to 4 requests. Raises SourceFailed.
        """
        url = self._metadata_url(target)
        async with self._one:
            if url not in self._servers:
                self._servers[url] = await self._discovered(Target.of(url, self.requests.submitter))
            endpoint, server = self._servers[url]
            scope = scopes(types, server.scopes_supported, server.capabilities)
            key = (self.requests.submitter.identifier, endpoint.url, scope)
            known = self.tokens.get(key, self.clock.now())
            if known is None or known == instead_of:
                known, life = await self._requested(endpoint, server, scope)
                self.tokens.put(key, known, self.clock.now() + life * 1000)
            return known

    def _metadata_url(self, target: Target) -> str:
        submitter = self.requests.submitter
        for url in self.urls:
            if Target.of(url, submitter).origin == target.origin:
                return url
        told = "An access token is needed, but no oauthMetadataUrl is given for the host of this URL"
        raise SourceFailed(told, code="security")

    # --- discovery ------------------------------------------------------------------------------------------

    async def _discovered(self, target: Target) -> tuple[Target, _Metadata]:
        """Returns the token endpoint and what its server says of itself."""
        found = await self._document(target)
        if found.authorization_servers is not None or (found.resource is not None and found.token_endpoint is None):
            _check_resource(found, target)
            found = await self._server(found.authorization_servers or [])
        if found.token_endpoint is None:
            raise SourceFailed("The OAuth metadata name no token endpoint", code="invalid")
        endpoint = _allowed(found.token_endpoint, self.requests)
        grants, methods = found.grant_types_supported, found.token_endpoint_auth_methods_supported
        if grants is not None and "client_credentials" not in grants:
            raise SourceFailed("The authorization server does not support client credentials", code="not-supported")
        if methods is not None and "private_key_jwt" not in methods:
            raise SourceFailed("The authorization server does not support private_key_jwt", code="not-supported")
        return endpoint, found

    async def _server(self, issuers: list[str]) -> _Metadata:
        """Returns the metadata of the first authorization server that may be asked."""
        refusal: SourceFailed | None = None
        for issuer in issuers[:5]:
            try:
                target = _allowed(issuer, self.requests)
                return await self._of_issuer(issuer, target)
            except SourceFailed as error:
                if error.again:
                    raise
                refusal = error
        raise refusal or SourceFailed("The OAuth metadata name no authorization server", code="invalid")

    async def _of_issuer(self, issuer: str, target: Target) -> _Metadata:
        path = urlsplit(target.url).path.rstrip("/")
        base = target.url.removesuffix("/").removesuffix(path)
        for kind in _SERVERS:
            inserted = kind == _SERVERS[0]
            url = f"{base}/.well-known/{kind}{path}" if inserted else f"{base}{path}/.well-known/{kind}"
            try:
                found = await self._document(Target.of(url, self.requests.submitter))
            except SourceFailed as error:
                if error.issues[0].code == "not-found" and not error.again:
                    continue
                raise
            if kind != _SERVERS[2] and (found.issuer or "").rstrip("/") != issuer.rstrip("/"):
                raise SourceFailed("The authorization server's metadata are of another issuer", code="security")
            return found
        raise SourceFailed("The authorization server has no metadata", code="not-found")

    async def _document(self, target: Target) -> _Metadata:
        async with self.requests.get(target, {"Accept": "application/json"}, secret={}) as response:
            if response.status != 200:
                raise unexpected(response)
            body = await self.requests.read(response, self.requests.limits.document)
        try:
            return _read_metadata(body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise SourceFailed("The OAuth metadata cannot be read", code="invalid") from None

    # --- the token ------------------------------------------------------------------------------------------

    async def _requested(self, endpoint: Target, server: _Metadata, scope: str) -> tuple[str, int]:
        """Returns a new token, and the seconds that it is valid."""
        form = {
            "grant_type": "client_credentials",
            "scope": scope,
            "client_assertion_type": _BEARER,
            "client_assertion": self._assertion(endpoint, server),
        }
        limit = self.requests.limits.document
        async with self.requests.post(endpoint, form, {"Accept": "application/json"}) as response:
            if response.status in (400, 401, 403):
                raise _refused(await self.requests.read(response, limit))
            if response.status != 200:
                raise unexpected(response)
            body = await self.requests.read(response, limit)
        try:
            token = _read_token(body)
            life = _LIFE if token.expires_in is None else int(float(token.expires_in))
        except (msgspec.MsgspecError, ValueError, OverflowError):
            raise SourceFailed("The authorization server's token cannot be read", code="invalid") from None
        text = token.access_token
        good = text and len(text) <= _LONGEST_TOKEN and text.isascii() and text.isprintable() and " " not in text
        if not good or token.token_type.lower() != "bearer":
            raise SourceFailed("The authorization server issued no bearer token", code="invalid")
        return text, min(max(life, 0), 86_400)

    def _assertion(self, endpoint: Target, server: _Metadata) -> str:
        submitter = self.requests.submitter
        keys = private_keys(submitter.client_key, self.secrets)
        if submitter.client_id is None:
            raise SourceFailed("This server has no client id for this submitter; its operator must configure one")
        key, algorithm = signing_key(keys, server.token_endpoint_auth_signing_alg_values_supported)
        now = self.clock.now() // 1000
        claims = {
            "iss": submitter.client_id,
            "sub": submitter.client_id,
            "aud": server.token_endpoint,
            "iat": now,
            "exp": now + _ASSERTION,
            "jti": self.ids.new(),
        }
        header = {"alg": algorithm, "typ": "JWT", "kid": key.kid or key.thumbprint()}
        try:
            return jwt.encode(header, claims, key, algorithms=[algorithm])
        except (JoseError, ValueError):
            told = "This server's key for this submitter is not usable; its operator must correct it"
            raise SourceFailed(told) from None


def scopes(types: tuple[str, ...], supported: list[str] | None, capabilities: list[str] | None) -> str:
    """Returns the scopes to ask for: `system/Patient.rs`, or `system/Patient.read` where the server has version 1.

    A server that names its scopes, but none for all types, is asked for those of them that allow to read, where no type
    is known. https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html
    """
    known = supported or []
    old = any(one.endswith(".read") for one in known) and not any(one.endswith(".rs") for one in known)
    offers = capabilities or []
    old = old or ("permission-v1" in offers and "permission-v2" not in offers)
    suffix = "read" if old else "rs"
    wanted = [f"system/{one}.{suffix}" for one in types or ("*",)]
    readable = [one for one in known if one.startswith("system/") and one.endswith((".rs", ".read", ".cruds", ".*"))]
    if not types and readable and wanted[0] not in known:
        wanted = readable[:200]
    return " ".join(wanted)


def _check_resource(found: _Metadata, target: Target) -> None:
    """Raises SourceFailed if the metadata are another resource's. https://www.rfc-editor.org/rfc/rfc9728#section-3.3"""
    url = urlsplit(target.url)
    resource = (found.resource or "").rstrip("/")
    own = f"{url.scheme}://{url.netloc}"
    inserted = url.path.startswith(_PROTECTED)
    exact = f"{own}{url.path.removeprefix(_PROTECTED)}".rstrip("/")
    same = resource == exact if inserted else f"{resource}/".startswith(f"{own}/")
    if not same:
        raise SourceFailed("The OAuth metadata are of another resource than their URL", code="security")


def _allowed(url: str, requests: Requests) -> Target:
    try:
        return Target.of(url, requests.submitter)
    except SourceFailed as error:
        told = error.issues[0]
        raise SourceFailed(f"The OAuth metadata: {told.diagnostics}", code=told.code) from None


def _refused(body: bytes) -> SourceFailed:
    try:
        error = _read_refusal(body).error
    except (msgspec.MsgspecError, UnicodeDecodeError):
        error = ""
    told = f": {error}" if error in _ERRORS else ""
    return SourceFailed(f"The authorization server refuses a token{told}", code="security")
