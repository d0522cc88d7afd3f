"""Machines that share a bucket, each with an index file of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fhirstore import FhirStore, TenantStore, Version
from fhirstore.clock import SystemIds
from fhirstore.commit.limits import Context, Limits
from fhirstore.format.record import Record
from fhirstore.index.local.catalogue import Catalogue
from fhirstore.indexing.indexer import Indexer
from fhirstore.indexing.options import IndexOptions
from fhirstore.objects.base import ObjectStore
from fhirstore.search.criteria.query import parse_query
from fhirstore.search.criteria.request import parse_search
from fhirstore.search.pages.finding import find
from fhirstore.tenancy import PrefixTenancy

TENANT = "clinic"
LIMITS = Limits(window=2_500, transaction_window=2_500, apply=500)
"""Shorter write windows, so that a purge does not wait long."""


@dataclass(slots=True)
class Machine:
    """One server: it writes to the tenant, and searches by its own index."""

    clinic: TenantStore
    indexer: Indexer
    catalogue: Catalogue

    def wrote(self, *versions: Version) -> None:
        """Tells the index of what this machine wrote."""
        for one in versions:
            record = Record(one.version_id, one.last_updated_ms, "op", one.method, one.content or None)
            self.indexer.wrote(one.type, one.id, record)

    async def search(self, type: str | None, query: str) -> list[str]:
        """The names of the matches, after making sure that all is there that was acknowledged."""
        await self.indexer.ensure()
        asked = parse_search(self.catalogue, type, parse_query(f"{query}&_count=1000"), now=0)
        found = await self.indexer.read(lambda reader: find(reader, asked, now=0))
        return [f"{one.type}/{one.id}/{one.version}" for one in found.names]


@asynccontextmanager
async def machine(
    store: ObjectStore, path: Path, *, built: bool = True, options: IndexOptions | None = None
) -> AsyncIterator[Machine]:
    """A machine whose index file is `path`."""
    server = FhirStore(PrefixTenancy(store, None), limits=LIMITS)
    place = server.tenancy.place(TENANT)
    catalogue = Catalogue.of(server.definitions, texts=(options or IndexOptions()).text)
    indexer = Indexer(place, Context(store.now, SystemIds(), LIMITS), catalogue, path, options)
    try:
        if built:
            await indexer.build()
        yield Machine(server.tenant(TENANT), indexer, catalogue)
    finally:
        await indexer.aclose()


def patient(id: str, family: str, **more: object) -> dict[str, object]:
    """A Patient with a name."""
    return {"resourceType": "Patient", "id": id, "name": [{"family": family}], **more}
