"""The compact form of a signed token, read strictly: anything that two readers could take for different things is bad.

https://www.rfc-editor.org/rfc/rfc7515#section-7.1 (JWS), https://www.rfc-editor.org/rfc/rfc7519 (JWT)
"""

from __future__ import annotations

import binascii
import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from server.access.tokens.bad_token import BadToken

LONGEST = 16 * 1024  # characters
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_LONGEST_HEADER = 4_096
_MOST_MEMBERS = 200
_ALGORITHM = "The token is signed by an algorithm that is not allowed, or not at all"
_TYPES = frozenset(("jwt", "at+jwt", "application/jwt", "application/at+jwt"))


@dataclass(frozen=True, slots=True, repr=False)
class SignedToken:
    """A token as it was sent; whether its signature is good is not known yet. `kid`: of the key it names, if any."""

    header: Mapping[str, object]
    claims: Mapping[str, object]
    algorithm: str
    kid: str | None
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)


def read(token: str) -> SignedToken:
    """Returns the parts of a token. Raises BadToken.

    Header parameters that hold a key or say where one is (`jku`, `jwk`, `x5u`, `x5c`) are not looked at: the keys of
    the caller alone count.
    """
    if len(token) > LONGEST:
        raise BadToken(f"The token has more than {LONGEST:,} characters", code="too-long")
    parts = _COMPACT.fullmatch(token)
    if parts is None:
        raise BadToken("The token is no signed JWT in compact form")
    header = _object(parts[1], "header", most=_LONGEST_HEADER)
    algorithm = header.get("alg")
    if not isinstance(algorithm, str):
        raise BadToken(_ALGORITHM)
    if "crit" in header or "b64" in header:
        raise BadToken("The token has critical extensions, and none is supported")
    typ = header.get("typ", "JWT")
    if not isinstance(typ, str) or typ.lower() not in _TYPES:
        raise BadToken("The token is of a type (typ) that gives no access")
    kid = header.get("kid")
    if kid is not None and (not isinstance(kid, str) or not 0 < len(kid) <= 500):
        raise BadToken("The token names no key that could exist (kid)")
    claims = _object(parts[2], "content", most=LONGEST)
    signed = f"{parts[1]}.{parts[2]}".encode("ascii")
    return SignedToken(header, claims, algorithm, kid, signed, _decoded(parts[3], "signature"))


def check_algorithm(token: SignedToken, allowed: Collection[str]) -> None:
    """Raises BadToken where the signature is by another algorithm than those that are allowed."""
    if token.algorithm not in allowed:
        raise BadToken(_ALGORITHM)


def _object(text: str, what: str, *, most: int) -> Mapping[str, object]:
    """Returns a JSON object. Raises BadToken, also for a name that is there twice, and for what is no JSON number."""
    body = _decoded(text, what)
    if len(body) > most:
        raise BadToken(f"The token's {what} is too long", code="too-long")
    try:
        found = json.loads(body.decode("utf-8"), object_pairs_hook=_members, parse_constant=_constant)
    except (ValueError, RecursionError):
        raise BadToken(f"The token's {what} is no JSON object, or has a member twice") from None
    if not isinstance(found, dict):
        raise BadToken(f"The token's {what} is no JSON object, or has a member twice")
    return found


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs) or len(pairs) > _MOST_MEMBERS:
        raise ValueError
    if any(isinstance(value, float) and not math.isfinite(value) for value in found.values()):
        raise ValueError
    return found


def _constant(name: str) -> object:
    raise ValueError(name)


def _decoded(text: str, what: str) -> bytes:
    """Decodes base64url without padding. Raises BadToken, also where the last character has bits that do not count."""
    try:
        body = binascii.a2b_base64(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), strict_mode=True)
    except binascii.Error:
        raise BadToken(f"The token's {what} is no base64url") from None
    again = binascii.b2a_base64(body, newline=False).rstrip(b"=").decode().replace("+", "-").replace("/", "_")
    if again != text:
        raise BadToken(f"The token's {what} is no base64url")
    return body
