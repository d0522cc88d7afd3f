"""What a client's assertion must say. Pure; times are epoch seconds.

https://hl7.org/fhir/smart-app-launch/client-confidential-asymmetric.html#authenticating-to-the-token-endpoint
"""

from __future__ import annotations

from collections.abc import Collection

from fhirstore import Client
from server.access.tokens.bad_token import BadToken
from server.access.tokens.claims import SKEW, check_claims, text_of, time_of
from server.access.tokens.jws import SignedToken

ALGORITHMS = frozenset(("RS384", "ES384"))
LIFETIME = 300.0
"""Seconds that an assertion may be valid for."""


def client_named(token: SignedToken) -> str:
    """Returns the client that an assertion names; it is not proven yet. Raises BadToken."""
    issuer, subject = text_of(token.claims, "iss", most=200), text_of(token.claims, "sub", most=200)
    if issuer is None or issuer != subject:
        raise BadToken("iss and sub of the assertion must both be the client_id")
    return issuer


def check_header(token: SignedToken, client: Client) -> None:
    """Raises BadToken unless the header names a key of the client, and no place of keys but the registered one."""
    if token.kid is None:
        raise BadToken("The assertion names no key (kid)")
    if "jku" in token.header and token.header["jku"] != client.jwks_uri:
        raise BadToken("The assertion's jku is not the URL that is registered for the client")
    if not {"x5u", "x5c", "jwk"}.isdisjoint(token.header):
        raise BadToken("The assertion brings its own key; only registered ones count")


def check_assertion(token: SignedToken, client: Client, *, audiences: Collection[str], now: float) -> str:
    """Returns the `jti` of an assertion with a good signature. Raises BadToken. `audiences`: the token endpoint."""
    expires = check_claims(token.claims, issuer=client.id, audiences=audiences, now=now)
    if expires > now + LIFETIME + SKEW:
        raise BadToken("The assertion is valid for more than 5 minutes (exp)")
    issued = time_of(token.claims, "iat")
    if issued is not None and expires - issued > LIFETIME + SKEW:
        raise BadToken("The assertion is valid for more than 5 minutes (exp)")
    jti = text_of(token.claims, "jti", most=500)
    if jti is None:
        raise BadToken("The assertion has no jti")
    return jti
