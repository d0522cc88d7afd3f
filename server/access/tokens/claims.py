"""What every token must say: who issued it, for whom, and when it is valid. Pure; times are epoch seconds.

https://www.rfc-editor.org/rfc/rfc7519#section-4.1
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from server.access.tokens.bad_token import BadToken

SKEW = 30.0
"""Seconds that two clocks may differ."""

_LAST = 253_402_300_799  # the year 9999
_MOST_AUDIENCES = 100


def check_claims(claims: Mapping[str, object], *, issuer: str, audiences: Collection[str], now: float) -> float:
    """Returns when the token expires. Raises BadToken unless it is of this issuer, for us, and valid now."""
    if claims.get("iss") != issuer:
        raise BadToken("The token is of an issuer that is not accepted here")
    if not audiences_of(claims).intersection(audiences):
        raise BadToken("The token is not meant for this server (aud)")
    expires = time_of(claims, "exp")
    if expires is None:
        raise BadToken("The token does not say when it expires (exp)")
    if now >= expires + SKEW:
        raise BadToken("The token has expired", code="expired")
    if (begins := time_of(claims, "nbf")) is not None and begins > now + SKEW:
        raise BadToken("The token is not valid yet (nbf)")
    if (issued := time_of(claims, "iat")) is not None and issued > now + SKEW:
        raise BadToken("The token was issued in the future (iat)")
    if "cnf" in claims:
        raise BadToken("The token is bound to a key of its client, which is not supported: ask for a bearer token")
    return expires


def audiences_of(claims: Mapping[str, object]) -> frozenset[str]:
    """Returns the audiences that a token names. Raises BadToken where `aud` is none of its forms."""
    found = claims.get("aud")
    if isinstance(found, str):
        return frozenset((found,))
    if not isinstance(found, list) or len(found) > _MOST_AUDIENCES or not all(isinstance(one, str) for one in found):
        raise BadToken("The token is not meant for this server (aud)")
    return frozenset(found)


def time_of(claims: Mapping[str, object], name: str) -> float | None:
    """Returns a time; None: the token does not say. Raises BadToken where it is none."""
    found = claims.get(name)
    if found is None and name not in claims:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= _LAST:
        raise BadToken(f"The token's {name} is no time")
    return float(found)


def text_of(claims: Mapping[str, object], name: str, *, most: int = 1_000) -> str | None:
    """Returns a text; None: the token has no such claim. Raises BadToken where it is none, or is too long."""
    found = claims.get(name)
    if found is None:
        return None
    if not isinstance(found, str) or not found or len(found) > most or not found.isprintable():
        raise BadToken(f"The token's {name} is no text that it can be")
    return found
