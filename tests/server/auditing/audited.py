"""The real app in this process with an audit log."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx

from fhirstore import FhirStore
from fhirstore.objects.base import ObjectStore
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.metered import MeteredStore
from fhirstore.tenancy import PrefixTenancy
from server.app import create_app
from server.auditing.audit import Audit
from server.observing.access_log import Identities
from server.routes import TABLE
from server.settings import Settings

KEY = b"k" * 16
Event = dict[str, Any]


@dataclass
class Audited:
    """A client, the meter below the store, the store and its audit log."""

    client: httpx.AsyncClient
    meter: MeteredStore
    store: FhirStore
    audit: Audit

    async def events(
        self, tenant: str | None = "default", patient: str | None = None, agent: str | None = None
    ) -> list[Event]:
        """What the trail has, after all that waits was stored."""
        await self.audit.close()
        self.audit._writers.clear()
        return [
            json.loads(event) async for event in self.store.audit_trail(tenant).events(patient=patient, agent=agent)
        ]


@asynccontextmanager
async def audited(settings: Settings | None = None, objects: ObjectStore | None = None) -> AsyncIterator[Audited]:
    """Serves `objects`, a memory store unless given, with FHIRSTORE_AUDIT=store unless `settings` say more."""
    settings = settings or Settings()
    settings = replace(settings, audit="store") if settings.audit == "off" else settings
    meter = MeteredStore(objects or MemoryStore())
    store = FhirStore(PrefixTenancy(meter, settings.tenants))
    audit = Audit(store, settings, TABLE, identities=Identities("hashed", KEY))
    transport = httpx.ASGITransport(create_app(store, settings, audit=audit))
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        yield Audited(client, meter, store, audit)
    await audit.close()
    await store.settle()


def interaction(event: Event) -> str:
    """The last code of its subtype: the own one where FHIR has none."""
    return str(event["subtype"][-1]["code"])


def references(event: Event, role: str = "4") -> list[str]:
    """The resources (4) or patients (1) that it names."""
    entities = [one for one in event["entity"] if one.get("role", {}).get("code") == role]
    return [one["what"].get("reference", "") for one in entities if "what" in one]
