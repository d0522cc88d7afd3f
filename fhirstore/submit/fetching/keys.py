"""The submitter's keys: JWKs in the environment, named by the configuration, read when they are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, Key, OctKey, RSAKey

from fhirstore.errors import SourceFailed

Secrets: TypeAlias = Callable[[str], str | None]
"""Returns the value of an environment variable."""

_ENV = "env:"
_LONGEST = 64 * 1024
_MOST = 20


def private_keys(reference: str | None, secrets: Secrets) -> list[Key]:
    """Returns the private keys that `env:NAME` refers to: a JWK, or all of a JWK set.

    Raises SourceFailed, which says nothing of the content: it is the operator's to correct.
    """
    text = None if reference is None else secrets(reference.removeprefix(_ENV))
    if not text or len(text) > _LONGEST:
        raise SourceFailed("This server has no key for this submitter; its operator must configure one")
    try:
        found = [key for key in _imported(msgspec.json.decode(text)) if isinstance(key, OctKey) or key.is_private]
    except (msgspec.MsgspecError, JoseError, ValueError, TypeError, KeyError):
        found = []
    if not found or len(found) > _MOST:
        raise SourceFailed("This server's key for this submitter is not usable; its operator must correct it")
    return found


def signing_key(keys: list[Key], supported: list[str] | None) -> tuple[Key, str]:
    """Returns a key and its algorithm, of those that a server supports; None: it does not say.

    RS384 and ES384 are those of SMART. https://hl7.org/fhir/smart-app-launch/client-confidential-asymmetric.html
    """
    for key in keys:
        for algorithm in _algorithms(key):
            if supported is None or algorithm in supported:
                return key, algorithm
    raise SourceFailed("The authorization server supports none of the algorithms of this server's key", code="security")


def _algorithms(key: Key) -> list[str]:
    named = key.get("alg")
    match key:
        case RSAKey():
            fit = ["RS384", "RS256", "RS512", "PS384", "PS256"]
        case ECKey():
            fit = {"P-384": ["ES384"], "P-256": ["ES256"], "P-521": ["ES512"]}.get(str(key.curve_name), [])
        case _:
            fit = []
    return [one for one in fit if named in (None, one)]


def _imported(content: object) -> Iterator[Key]:
    listed = content.get("keys") if isinstance(content, dict) and "keys" in content else [content]
    if not isinstance(listed, list):
        raise TypeError
    for one in listed:
        yield JWKRegistry.import_key(one)
