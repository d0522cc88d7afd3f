"""The library's face: `FhirStore` opens a place, its `tenant`s run interactions in it. Wiring only.

async with FhirStore.open("s3://bucket/prefix") as store:      # or "file:./data", "memory:"
    clinic = store.tenant("default")
    patient = await clinic.create({"resourceType": "Patient", "active": True})
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from fhirstore.clock import Ids
from fhirstore.commit.rules import Rules
from fhirstore.engine import Engine
from fhirstore.objects import S3Options, open_objects
from fhirstore.objects.base import ObjectStore
from fhirstore.tenancy import BucketTenancy, PrefixTenancy, Tenancy, bucket_locations
from fhirstore.tenant import TenantStore


class FhirStore:
    """All tenants of one deployment. Make it with `open`, or from a `Tenancy` of one's own stores."""

    def __init__(self, tenancy: Tenancy, *, rules: Rules | None = None, ids: Ids | None = None) -> None:
        self.tenancy = tenancy
        self._engine = Engine(rules=rules, ids=ids)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        location: str,
        *,
        tenants: Iterable[str] | None = ("default",),
        buckets: Mapping[str, str] | None = None,
        s3: S3Options | None = None,
        rules: Rules | None = None,
    ) -> AsyncIterator[FhirStore]:
        """Open `file:DIR`, `memory:` or `s3://bucket/prefix`.

        `tenants`: the ids that exist (None: every well-formed one), each below its own prefix. `buckets`: tenant ->
        bucket instead, each with a bucket of its own. Raises StoreMisconfigured with one line that says what to do.
        """
        async with AsyncExitStack() as stack:
            if buckets:
                stores: dict[str, ObjectStore] = {}
                for tenant, place in bucket_locations(location, buckets).items():
                    stores[tenant] = await open_objects(place, s3=s3)
                    stack.push_async_callback(stores[tenant].aclose)
                tenancy: Tenancy = BucketTenancy(stores)
            else:
                objects = await open_objects(location, s3=s3)
                stack.push_async_callback(objects.aclose)
                tenancy = PrefixTenancy(objects, None if tenants is None else frozenset(tenants))
            store = cls(tenancy, rules=rules)
            stack.push_async_callback(store.settle)
            yield store

    def tenant(self, tenant: str) -> TenantStore:
        """One tenant's resources. Raises UnknownTenant when it is malformed or not configured."""
        return TenantStore(self._engine, self.tenancy.place(tenant))

    async def check(self) -> None:
        """Are all stores there? Raises StoreMisconfigured."""
        for objects in self.tenancy.stores:
            await objects.check()

    async def settle(self) -> None:
        """Wait for the writes whose callers went away."""
        await self._engine.settle()
