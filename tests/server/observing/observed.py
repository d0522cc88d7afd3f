"""The real app in this process with what watches it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from fhirstore import FhirStore
from fhirstore.commit.limits import Limits
from fhirstore.objects.base import ObjectStore
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.metered import MeteredStore
from fhirstore.objects.wrappers.observed import ObservedStore
from fhirstore.tenancy import PrefixTenancy
from server.app import create_app
from server.observing.exposition import written
from server.observing.observers import Observers
from server.observing.snapshot import merged
from server.settings import Settings
from tests.server.observing.scraped import Scrape


@dataclass(frozen=True, slots=True)
class Observed:
    """A client, the meter below the observed store, and the observers."""

    client: httpx.AsyncClient
    meter: MeteredStore
    observers: Observers
    store: FhirStore

    def scrape(self) -> Scrape:
        assert self.observers.measures is not None
        _, body = written(merged([self.observers.measures.snapshot()]))
        return Scrape(body.decode())


@asynccontextmanager
async def observed(
    observers: Observers,
    settings: Settings | None = None,
    objects: ObjectStore | None = None,
    *,
    limits: Limits | None = None,
) -> AsyncIterator[Observed]:
    """Serves `objects`, a memory store unless given."""
    settings = settings or Settings()
    meter = MeteredStore(objects or MemoryStore())
    of_store = observers.of_store
    inner: ObjectStore = meter if of_store is None else ObservedStore(meter, of_store)
    store = FhirStore(PrefixTenancy(inner, settings.tenants), limits=limits)
    transport = httpx.ASGITransport(create_app(store, settings, observers=observers))
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        yield Observed(client, meter, observers, store)
    await store.settle()
