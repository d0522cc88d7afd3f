"""The real app with FHIRSTORE_AUTH=smart, and clients that get tokens from it as SMART Backend Services do."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

import httpx
from joserfc.jwk import ECKey

from fhirstore import Client, FhirStore
from fhirstore.objects.base import ObjectStore
from server.settings import Settings
from tests.server.access.signing import AnyKey, ec_key, public, signed
from tests.server.serving import serving

BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
SMART = Settings(auth="smart")
TOKEN_URL = "http://testserver/fhir/auth/token"
_NUMBERS = count()


@dataclass
class Program:
    """A client with its key. `id`: its client_id."""

    id: str
    key: AnyKey
    token_url: str = TOKEN_URL

    def claims(self, **changes: object) -> dict[str, object]:
        """What its assertion says; `...` leaves a claim out."""
        now = int(time.time())
        claims: dict[str, object] = {
            "iss": self.id, "sub": self.id, "aud": self.token_url, "iat": now, "exp": now + 240,
            "jti": f"jti-{next(_NUMBERS)}",
        }  # fmt: skip
        return {name: value for name, value in {**claims, **changes}.items() if value is not ...}

    def assertion(self, **changes: object) -> str:
        """A signed assertion."""
        return signed(self.key, self.claims(**changes), alg="ES384" if isinstance(self.key, ECKey) else "RS384")


def form(assertion: str, **changes: str) -> dict[str, str]:
    """The form of a token request."""
    return {
        "grant_type": "client_credentials",
        "client_assertion_type": BEARER,
        "client_assertion": assertion,
        "scope": "system/*.rs",
        **changes,
    }


async def token_of(client: httpx.AsyncClient, program: Program, scope: str = "") -> str:
    """An access token; of all that the client is registered for, unless `scope` says less."""
    answer = await client.post(program.token_url, data=form(program.assertion(), scope=scope))
    assert answer.status_code == 200, answer.text
    token: str = answer.json()["access_token"]
    return token


async def register(
    store: FhirStore,
    name: str,
    *scopes: str,
    tenant: str = "default",
    key: AnyKey | None = None,
    submitter: str | None = None,
) -> Program:
    """Registers a client of a tenant."""
    key = key or ec_key(name)
    client = Client(id=f"{tenant}.{name}", tenant=tenant, scopes=scopes, jwks=public(key), submitter=submitter)
    assert await store.tenant(tenant).credentials.clients.add(client)
    return Program(client.id, key)


@dataclass
class Smart:
    """A server, and a client of it without a token."""

    client: httpx.AsyncClient
    store: FhirStore
    programs: dict[str, Program] = field(default_factory=dict)

    async def register(self, name: str, *scopes: str, tenant: str = "default", key: AnyKey | None = None) -> Program:
        return await register(self.store, name, *scopes, tenant=tenant, key=key)

    async def ask(self, program: Program, **changes: str) -> httpx.Response:
        """The answer to a token request."""
        return await self.client.post(program.token_url, data=form(program.assertion(), **changes))

    async def headers(self, program: Program, scope: str = "") -> Mapping[str, str]:
        """The header of a request with a new token."""
        return {"Authorization": f"Bearer {await token_of(self.client, program, scope)}"}


@asynccontextmanager
async def smart(settings: Settings = SMART, objects: ObjectStore | None = None) -> AsyncIterator[Smart]:
    """Serves an empty store, or `objects`."""
    async with serving(settings, objects) as served:
        yield Smart(served.client, served.store)
