"""Keys and signed tokens, good ones and any others that somebody could make."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import TypeAlias

from joserfc.jwk import ECKey, OctKey, RSAKey
from joserfc.jws import JWSRegistry

AnyKey: TypeAlias = ECKey | RSAKey | OctKey

NOW = 1_800_000_000
"""Epoch seconds."""


def ec_key(kid: str, curve: str = "P-384") -> ECKey:
    """A new EC key."""
    return ECKey.generate_key(curve, {"kid": kid}, private=True)


def rsa_key(kid: str, bits: int = 2_048) -> RSAKey:
    """A new RSA key."""
    return RSAKey.generate_key(bits, {"kid": kid}, private=True)


def public(*keys: AnyKey) -> dict[str, object]:
    """The JWK set of their public parts."""
    return {"keys": [key.as_dict(private=False) for key in keys]}


def base64url(body: bytes) -> str:
    return base64.urlsafe_b64encode(body).rstrip(b"=").decode()


def signed(
    key: AnyKey, claims: Mapping[str, object] | bytes, *, alg: str = "ES384", header: Mapping[str, object] | None = None
) -> str:
    """A token. `claims` as bytes: whatever they are. `header`: more members, which win."""
    head = {"alg": alg, "typ": "JWT", "kid": key.kid, **(header or {})}
    head = {name: value for name, value in head.items() if value is not None}
    body = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    text = f"{base64url(json.dumps(head).encode())}.{base64url(body)}"
    return f"{text}.{base64url(JWSRegistry.algorithms[alg].sign(text.encode(), key))}"
