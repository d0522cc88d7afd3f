"""Who sent a request is told as far as it is proven; what was refused is told, too, and never a token."""

from __future__ import annotations

import json
from dataclasses import replace

import httpx

from fhirstore import FhirStore
from fhirstore.objects.memory import MemoryStore
from fhirstore.tenancy import PrefixTenancy
from server.app import create_app
from server.auditing.audit import Audit
from server.observing.access_log import Identities
from server.routes import TABLE
from server.settings import Settings
from tests.server.access.smart_clients import SMART, Smart, register
from tests.server.auditing.audited import KEY, Audited, Event, interaction

SETTINGS: Settings = replace(SMART, audit="store")


def _agents(event: Event) -> list[str]:
    return [one["who"].get("identifier", {}).get("value", "") for one in event["agent"]]


async def test_client_and_refusals_are_told() -> None:
    """A token request, a read, a 403 for want of a scope, and 401s, which have no tenant."""
    store = FhirStore(PrefixTenancy(MemoryStore(), SETTINGS.tenants))
    audit = Audit(store, SETTINGS, TABLE, identities=Identities("hashed", KEY))
    transport = httpx.ASGITransport(create_app(store, SETTINGS, audit=audit))
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        server = Smart(client, store)
        program = await register(store, "app", "system/Patient.rs")
        bearer = await server.headers(program)
        assert (await client.get("/fhir/Patient/p1", headers=bearer)).status_code == 404
        assert (await client.get("/fhir/Observation/o1", headers=bearer)).status_code == 403
        assert (await client.get("/fhir/Patient/p1")).status_code == 401
        assert (await client.get("/fhir/Patient/p1", headers={"Authorization": "Bearer zebrafinch"})).status_code == 401
        refused = await client.post(program.token_url, data={"grant_type": "client_credentials"})
        assert refused.status_code == 400
        ours = Audited(client, None, store, audit)  # type: ignore[arg-type] # no meter is needed
        known, unknown = await ours.events(), await ours.events(None)
    told = [(interaction(event), event.get("outcomeDesc", ""), _agents(event)[0]) for event in known]
    assert told == [
        ("token", "", program.id),
        ("read", "HTTP 404", program.id),
        ("read", "HTTP 403", program.id),
    ]
    assert [(interaction(event), event["outcomeDesc"]) for event in unknown] == [
        ("read", "HTTP 401"),
        ("read", "HTTP 401"),
        ("token", "HTTP 400"),
    ]
    assert all(_agents(event)[0] == "" for event in unknown)
    text = json.dumps([known, unknown])
    assert bearer["Authorization"].removeprefix("Bearer ") not in text and "zebrafinch" not in text
    await store.settle()
