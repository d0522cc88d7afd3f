"""The access tokens of this server: signed with a key of the tenant, which lies in its store for every process to see.

A token is short-lived and cannot be taken back; the key ring of a tenant is looked at again every `LOOK` seconds, so
that keys which an operator has replaced stop to count. https://www.rfc-editor.org/rfc/rfc9068 (JWT access tokens)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from joserfc import jws
from joserfc.jwk import ECKey

from fhirstore import Access, Client, FhirStore, SigningKey, parse_scopes
from fhirstore.clock import Ids, SystemIds
from fhirstore.errors import UnknownTenant
from server.access.token_bucket import TokenBucket
from server.access.tokens.bad_token import BadToken
from server.access.tokens.claims import check_claims, text_of
from server.access.tokens.jws import SignedToken
from server.access.tokens.keys import PublicKey, keys_of

ISSUER = "urn:fhirstore"
"""The `iss` of these tokens; it needs no name of a host, since other servers have other keys."""

LIFETIME = 300
"""Seconds that a token is valid."""

LOOK = 30.0
"""Seconds after which the keys of a tenant are looked at again; with `KEPT` of `verification`, a minute in all."""

_ALGORITHM = "ES384"
_MOST_TENANTS = 10_000
_STRANGERS = 20.0  # looks a second for keys that are not known
_UNKNOWN_KEY = "The token is not signed with a key of this server"


@dataclass(slots=True)
class _Ring:
    """The keys of a tenant as they were `read`, the one that signs first."""

    keys: Sequence[SigningKey]
    public: tuple[PublicKey, ...]
    read: float


class OwnTokens:
    """Issues and verifies them. `now`: epoch seconds; `monotonic`: seconds that only go forward."""

    algorithms: Collection[str] = frozenset((_ALGORITHM,))

    def __init__(
        self,
        store: FhirStore,
        *,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        ids: Ids | None = None,
    ) -> None:
        self._store = store
        self._now = now
        self._monotonic = monotonic
        self._ids = ids or SystemIds()
        self._rings: dict[str, _Ring] = {}
        self._strangers = TokenBucket(_STRANGERS, now=monotonic)

    async def issue(self, client: Client, scope: str) -> str:
        """Returns a token for the client. At most 1 GET + 1 PUT. Raises UnknownTenant, Unavailable, CorruptRecord."""
        ring = self._rings.get(client.tenant)
        if ring is None or not ring.keys or self._monotonic() - ring.read > LOOK:
            tenant = self._store.tenant(client.tenant)
            ring = self._keep(client.tenant, await tenant.credentials.keys.for_signing(key_maker(client.tenant)))
        now = int(self._now())
        claims = {
            "iss": ISSUER,
            "aud": _audience(client.tenant),
            "sub": client.id,
            "client_id": client.id,
            "tenant": client.tenant,
            "scope": scope,
            "iat": now,
            "exp": now + LIFETIME,
            "jti": self._ids.new(),
        }
        if client.submitter is not None:
            claims["submitter"] = client.submitter
        key = ring.keys[0]
        header = {"alg": _ALGORITHM, "typ": "at+jwt", "kid": key.kid}
        private = ECKey.import_key(_members(key.jwk))
        return jws.serialize_compact(header, msgspec.json.encode(claims), private, [_ALGORITHM])

    async def keys_for(self, token: SignedToken) -> Sequence[PublicKey]:
        """Returns the keys of the tenant that the token's `kid` names. At most 1 GET. Raises BadToken, Unavailable."""
        tenant, dot, _ = (token.kid or "").partition(".")
        if not dot:
            raise BadToken(_UNKNOWN_KEY)
        ring = self._rings.get(tenant)
        age = float("inf") if ring is None else self._monotonic() - ring.read
        known = ring is not None and any(key.kid == token.kid for key in ring.public)
        if ring is not None and known and age <= LOOK:
            return ring.public
        if not known:
            if self._strangers.wait(1.0):
                raise BadToken(_UNKNOWN_KEY)
            self._strangers.take(1.0)
        try:
            credentials = self._store.tenant(tenant).credentials
        except UnknownTenant:
            raise BadToken(_UNKNOWN_KEY) from None
        return self._keep(tenant, await credentials.keys.accepted()).public

    def access(self, token: SignedToken, now: float) -> tuple[Access, float]:
        """Returns what a token with a good signature allows, and when it expires. Raises BadToken."""
        claims = token.claims
        tenant, client = text_of(claims, "tenant", most=63) or "", text_of(claims, "client_id")
        expires = check_claims(claims, issuer=ISSUER, audiences=(_audience(tenant),), now=now)
        if client is None or not (token.kid or "").startswith(f"{tenant}."):
            raise BadToken(_UNKNOWN_KEY)
        scopes, others, refused = parse_scopes(text_of(claims, "scope", most=8_192) or "", release=self._store.release)
        if refused:
            raise BadToken("The token has scopes that this server no longer enforces; ask for a new one")
        submitter = text_of(claims, "submitter")
        return (
            Access(
                subject=client,
                client=client,
                tenant=tenant,
                scopes=scopes,
                others=others,
                submitters=None if submitter is None else frozenset((submitter,)),
            ),
            expires,
        )

    def _keep(self, tenant: str, keys: Sequence[SigningKey]) -> _Ring:
        while len(self._rings) >= _MOST_TENANTS:
            del self._rings[next(iter(self._rings))]
        ring = self._rings[tenant] = _Ring(keys, keys_of(_public(key.jwk) for key in keys), self._monotonic())
        return ring


def _audience(tenant: str) -> str:
    return f"{ISSUER}:{tenant}"


def key_maker(tenant: str) -> Callable[[], Mapping[str, object]]:
    """Returns what makes a signing key of the tenant."""

    def make() -> Mapping[str, object]:
        key = ECKey.generate_key("P-384", private=True)
        return {**key.as_dict(private=True), "kid": f"{tenant}.{key.thumbprint()}", "alg": _ALGORITHM, "use": "sig"}

    return make


def _public(jwk: Mapping[str, object]) -> Mapping[str, object]:
    return {name: value for name, value in jwk.items() if name != "d"}


def _members(jwk: Mapping[str, object]) -> dict[str, str | list[str]]:
    return {name: value for name, value in jwk.items() if isinstance(value, str)}
