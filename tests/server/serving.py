"""The real app on a store (memory, unless `pytest --store=…` names one), and a client that talks to it in process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from fhirstore import FhirStore
from fhirstore.objects.base import ObjectStore
from fhirstore.objects.wrappers.metered import MeteredStore
from fhirstore.tenancy import PrefixTenancy
from server.app import create_app
from server.settings import Settings
from tests.server.stores import CHOSEN

FHIR_JSON = {"Content-Type": "application/fhir+json"}


@dataclass(frozen=True, slots=True)
class Served:
    """A client whose base URL is the server's root, the store that is served, and the meter below it."""

    client: httpx.AsyncClient
    meter: MeteredStore
    store: FhirStore


@asynccontextmanager
async def serving(settings: Settings | None = None, objects: ObjectStore | None = None) -> AsyncIterator[Served]:
    """Serve `objects` (an empty store of the chosen kind unless given) in this process."""
    settings = settings or Settings()
    below = await CHOSEN.open() if objects is None else objects
    meter = MeteredStore(below)
    store = FhirStore(
        PrefixTenancy(meter, settings.tenants),
        inline_bytes=settings.inline_bytes,
        fhir_version=settings.fhir_version,
        validation=settings.validation,
        reference_integrity=settings.reference_integrity,
        externalize_attachments=settings.externalize_attachments,
    )
    transport = httpx.ASGITransport(create_app(store, settings))
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        yield Served(client, meter, store)
    await store.settle()
    if objects is None:
        await below.aclose()
