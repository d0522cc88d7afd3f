"""A registered client of SMART Backend Services: what it may ask for, and the keys that it signs with.

https://hl7.org/fhir/smart-app-launch/client-confidential-asymmetric.html#registering-a-client-communicating-public-keys
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from fhirstore.access.scopes import parse_scopes
from fhirstore.errors import StoreMisconfigured
from fhirstore.format.keyspace import is_tenant_id

MOST_KEYS = 20
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,199}")
_PRIVATE = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth", "k"))
_KINDS = ("RSA", "EC")


class Client(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One client. `id`: the `client_id`. `tenant`: the only one that it may reach. `scopes`: the most it is granted.

    `jwks`: its public keys, a JWK set; `jwks_uri`: where they are instead. `submitter`: `system|value`, in whose name
    it may submit in bulk, where it has the scope `system/bulk-submit`.
    """

    id: str
    tenant: str
    scopes: tuple[str, ...]
    jwks: Mapping[str, object] | None = None
    jwks_uri: str | None = None
    submitter: str | None = None

    def __repr__(self) -> str:
        return f"<Client {self.id} of {self.tenant}>"


def check_client(client: Client, *, release: str = "4.0") -> None:
    """Raises StoreMisconfigured with one line that says what to correct. `release`: of FHIR."""
    wrong = _wrong(client, release)
    if wrong is not None:
        raise StoreMisconfigured(detail=f"client {client.id[:200]!r}: {wrong}")


def _wrong(client: Client, release: str) -> str | None:
    if not _ID.fullmatch(client.id):
        return "an id has 1 to 200 letters, digits and . _ : / @ -, and begins with a letter or digit"
    if not is_tenant_id(client.tenant):
        return f"{client.tenant[:80]!r} is no tenant id"
    if not client.scopes:
        return "it has no scopes"
    scopes, _, refused = parse_scopes(" ".join(client.scopes), release=release)
    if refused:
        return f"these scopes are unknown, or cannot be enforced: {', '.join(refused)}"
    if any(scope.context != "system" for scope in scopes):
        return "only system/ scopes can be granted without a user"
    if (client.jwks is None) == (client.jwks_uri is None):
        return "give either jwks or jwks_uri"
    if client.submitter is not None and not all(client.submitter.partition("|")):
        return "a submitter is system|value"
    return _wrong_uri(client.jwks_uri) if client.jwks is None else _wrong_keys(client.jwks)


def _wrong_uri(uri: str | None) -> str | None:
    try:
        parts = urlsplit(uri or "")
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None
    except ValueError:
        good = False
    return None if good and not parts.fragment else "jwks_uri is no https URL without user name and fragment"


def _wrong_keys(jwks: Mapping[str, object]) -> str | None:
    keys = jwks.get("keys")
    if not isinstance(keys, list) or not 0 < len(keys) <= MOST_KEYS:
        return f'jwks is no set of 1 to {MOST_KEYS} keys: {{"keys": […]}}'
    kids = set()
    for key in keys:
        if not isinstance(key, dict) or key.get("kty") not in _KINDS:
            return "each of its keys is a JWK of an RSA or EC key"
        if _PRIVATE.intersection(key):
            return "jwks holds a private key; register the public part alone, and keep the other to yourself"
        kid = key.get("kid")
        if not isinstance(kid, str) or not kid or len(kid) > 200 or kid in kids:
            return "each of its keys needs a kid of its own"
        kids.add(kid)
    return None
