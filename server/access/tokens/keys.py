"""Public keys, and which of them a token may have been signed with.

A key fits an algorithm by its kind alone, never by what the token says: so a public RSA key is never the secret of an
HMAC (https://www.rfc-editor.org/rfc/rfc8725#section-2.1).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, Key, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from server.access.tokens.bad_token import BadToken
from server.access.tokens.jws import SignedToken

MOST_KEYS = 100
_RSA_BITS = (2_048, 8_192)  # weaker ones are forged, longer ones keep a server busy
_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
_BAD_SIGNATURE = "The token is not signed with a key of its issuer"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key of a set. `algorithm`: the only one that it is for; None: it does not say."""

    kid: str | None
    key: Key
    algorithm: str | None

    def fits(self, algorithm: str) -> bool:
        """Whether a signature by this algorithm can be of this key."""
        if self.algorithm not in (None, algorithm):
            return False
        match self.key:
            case RSAKey():
                return algorithm[:2] in ("RS", "PS")
            case ECKey():
                return _CURVES.get(algorithm) == self.key.curve_name
            case _:
                return algorithm == "EdDSA"


def read_keys(body: bytes) -> tuple[PublicKey, ...]:
    """Returns the keys of a JWK set that can verify a signature. Raises ValueError where it is no JWK set."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError("no JSON") from error
    keys = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(keys, list):
        raise ValueError("no JWK set")
    return keys_of(keys)


def keys_of(jwks: Iterable[object]) -> tuple[PublicKey, ...]:
    """Returns those of the JWKs that can verify a signature, up to `MOST_KEYS`; others are passed over."""
    found = (_key(jwk) for jwk in list(jwks)[:MOST_KEYS])
    return tuple(key for key in found if key is not None)


def _key(jwk: object) -> PublicKey | None:
    if not isinstance(jwk, Mapping) or jwk.get("use", "sig") != "sig" or "verify" not in jwk.get("key_ops", ["verify"]):
        return None
    kid, algorithm = jwk.get("kid"), jwk.get("alg")
    try:
        key = JWKRegistry.import_key({str(name): value for name, value in jwk.items()})
        if isinstance(key, RSAKey) and not _RSA_BITS[0] <= key.raw_value.key_size <= _RSA_BITS[1]:
            return None
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    if not isinstance(key, RSAKey | ECKey | OKPKey):
        return None
    if isinstance(key, OKPKey) and key.curve_name != "Ed25519":
        return None
    known = algorithm if isinstance(algorithm, str) else None
    return PublicKey(kid if isinstance(kid, str) else None, key, known)


def candidates(token: SignedToken, keys: Sequence[PublicKey]) -> list[PublicKey]:
    """Returns the keys that a token may have been signed with.

    Without a `kid` that is the only key that fits its algorithm, or none.
    """
    fit = [key for key in keys if key.fits(token.algorithm)]
    if token.kid is not None:
        return [key for key in fit if key.kid == token.kid]
    return fit if len(fit) == 1 else []


def verify(token: SignedToken, keys: Sequence[PublicKey]) -> None:
    """Raises BadToken where the token is not signed with one of its candidates among the keys."""
    algorithm = JWSRegistry.algorithms[token.algorithm]
    for candidate in candidates(token, keys)[:2]:
        try:
            if algorithm.verify(token.signed, token.signature, candidate.key):
                return
        except (JoseError, ValueError, TypeError):
            continue
    raise BadToken(_BAD_SIGNATURE)
