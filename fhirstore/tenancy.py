"""Which tenants exist, and where the objects of each are.

*Prefix* tenancy keeps all tenants in one bucket, each below `{tenant}/`. *Registered* tenancy does so, too, and reads
which tenants exist from a registry in the store. *Bucket* tenancy gives each tenant a bucket of its own by an explicit
map. In all, a tenant that is not configured is an error, and two tenants never share a place.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from fhirstore.errors import (
    CorruptRecord,
    FhirStoreError,
    ObjectNotFound,
    StoreMisconfigured,
    Unavailable,
    UnknownTenant,
)
from fhirstore.format.keyspace import Keyspace, is_tenant_id, tenant_id
from fhirstore.format.registry import LIVE, REGISTRY, Registry, decode_registry
from fhirstore.objects.base import ObjectStore

LOOK_EVERY = 5.0
"""Seconds between two looks of a process at the registry of tenants; 1 GET each."""

TRUSTED_FOR = 15.0
"""Seconds after which a process that could not read the registry serves no tenant. It has then heard of a removal."""


class RegisteredTenants(frozenset[str]):
    """Says that the store's own registry names the tenants. As a set it is empty: none is configured elsewhere."""


REGISTERED = RegisteredTenants()


@dataclass(frozen=True, slots=True)
class Place:
    """One tenant's store and keys. `since`: when the tenant was added, epoch ms, so that one that was removed and made
    anew is another one; 0 where no registry says so.
    """

    tenant: str
    objects: ObjectStore
    keys: Keyspace
    since: int = 0


class Tenancy(Protocol):
    """Finds tenants: `PrefixTenancy`, `RegisteredTenancy` or `BucketTenancy`."""

    def place(self, tenant: str) -> Place:
        """Returns where the objects of `tenant` are. Raises UnknownTenant when it is malformed or not configured."""
        ...

    @property
    def stores(self) -> tuple[ObjectStore, ...]:
        """Every store in use."""
        ...

    async def names(self) -> list[str]:
        """Returns every tenant that is configured; where every well-formed id is a tenant, those that have objects."""
        ...

    async def not_configured(self) -> list[str]:
        """Returns the tenants that have objects here although they are not configured."""
        ...


@dataclass(frozen=True, slots=True)
class PrefixTenancy:
    """All tenants in one store. `tenants` None: every well-formed id is a tenant."""

    objects: ObjectStore
    tenants: frozenset[str] | None

    def place(self, tenant: str) -> Place:
        keys = Keyspace.of_tenant(tenant)
        if self.tenants is not None and tenant not in self.tenants:
            raise not_configured(tenant)
        return Place(tenant, self.objects, keys)

    @property
    def stores(self) -> tuple[ObjectStore, ...]:
        return (self.objects,)

    async def names(self) -> list[str]:
        if self.tenants is not None:
            return sorted(self.tenants)
        return await stored_tenants(self.objects)

    async def not_configured(self) -> list[str]:
        return [] if self.tenants is None else sorted(set(await stored_tenants(self.objects)) - self.tenants)


class RegisteredTenancy:
    """All tenants in one store, whose registry says which there are (`fhirstore.format.registry`).

    While it is `watching`, it notices changes within `LOOK_EVERY` seconds. A process that cannot read the registry for
    `TRUSTED_FOR` seconds serves nobody: so whoever removes a tenant knows when all have stopped.
    """

    def __init__(
        self, objects: ObjectStore, *, every: float = LOOK_EVERY, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """`every`: seconds between two looks while it is `watching`."""
        self.objects = objects
        self._every = every
        self._monotonic = monotonic
        self._registry = Registry()
        self._read_at = float("-inf")  # when the last good look began
        self._damaged = False  # so the last look found it

    def place(self, tenant: str) -> Place:
        """As `Tenancy.place`. Raises Unavailable where the registry has not been read for too long."""
        keys = Keyspace.of_tenant(tenant)
        self.check_trusted()
        known = self._registry.tenants.get(tenant)
        if known is None or known.state != LIVE:
            raise not_configured(tenant)
        return Place(tenant, self.objects, keys, known.added)

    def check_trusted(self) -> None:
        """Raises Unavailable where the registry has not been read for too long, so that nobody is served."""
        if self._monotonic() - self._read_at > TRUSTED_FOR:
            why = "is damaged" if self._damaged else "cannot be read"
            raise Unavailable(f"The registry of tenants {why}; try again later")

    @property
    def stores(self) -> tuple[ObjectStore, ...]:
        return (self.objects,)

    async def names(self) -> list[str]:
        await self.look()
        return sorted(self._registry.live())

    async def not_configured(self) -> list[str]:
        await self.look()
        return sorted(set(await stored_tenants(self.objects)) - set(self._registry.tenants))

    async def look(self) -> Registry:
        """Reads the registry. 1 GET. Raises CorruptRecord, StoreBusy, StoreUnavailable."""
        began = self._monotonic()
        try:
            found = decode_registry((await self.objects.get(REGISTRY)).body)
        except ObjectNotFound:
            found = Registry()
        except CorruptRecord:
            self._damaged = True
            raise
        self._damaged = False
        if began > self._read_at:  # no later look was quicker
            self._registry, self._read_at = found, began
        return found

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Looks at the registry now, and then again and again while the block lasts. Raises as `look` at first."""
        await self.look()
        task = asyncio.create_task(self._watch(), name="fhirstore-tenants")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            with suppress(FhirStoreError, TimeoutError):  # `place` tells when that lasts too long
                async with asyncio.timeout(LOOK_EVERY):
                    await self.look()


async def stored_tenants(objects: ObjectStore) -> list[str]:
    """Returns every tenant that has objects in a shared store. 1 LIST for a thousand of them."""
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = await objects.list("", cursor=cursor, delimiter=True)
        found += [folder[:-1] for folder in page.prefixes if is_tenant_id(folder[:-1])]
        cursor = page.cursor
        if cursor is None:
            return found


@dataclass(frozen=True, slots=True)
class BucketTenancy:
    """A store per tenant."""

    by_tenant: Mapping[str, ObjectStore]

    def place(self, tenant: str) -> Place:
        objects = self.by_tenant.get(tenant_id(tenant))
        if objects is None:
            raise not_configured(tenant)
        return Place(tenant, objects, Keyspace(""))

    @property
    def stores(self) -> tuple[ObjectStore, ...]:
        return tuple(self.by_tenant.values())

    async def names(self) -> list[str]:
        return sorted(self.by_tenant)

    async def not_configured(self) -> list[str]:
        return []


def is_served(tenancy: Tenancy, place: Place) -> bool:
    """Returns whether a place is still that of its tenant: False where the tenant was removed, also if it was made anew
    since. Sends nothing.
    """
    try:
        return tenancy.place(place.tenant).since == place.since
    except UnknownTenant:
        return False
    except Unavailable:
        return True  # not known, for the moment


def not_configured(tenant: str) -> UnknownTenant:
    """Returns the error for a well-formed tenant id that is not one of the store's."""
    return UnknownTenant(f"Tenant '{tenant}' is not configured; use another one, or add it to the store's tenants")


def bucket_locations(location: str, buckets: Mapping[str, str]) -> dict[str, str]:
    """Returns the location of each tenant's own store: `location` with its bucket (or last folder) replaced.

    Raises StoreMisconfigured when two tenants map to one bucket, or the kind of store has no buckets.
    """
    for tenant in buckets:
        tenant_id(tenant)
    if len(set(buckets.values())) < len(buckets):
        raise StoreMisconfigured(detail="two tenants are mapped to one bucket; give each tenant its own")
    scheme, _, rest = location.partition(":")
    if scheme == "s3":
        _, _, prefix = rest.removeprefix("//").partition("/")
        return {tenant: f"s3://{bucket}/{prefix}".rstrip("/") for tenant, bucket in buckets.items()}
    if scheme in ("file", "memory"):
        wrong = [bucket for bucket in buckets.values() if not is_tenant_id(bucket)]
        if wrong:
            form = "1 to 63 of a-z, 0-9 and '-', without '-' at either end"
            raise StoreMisconfigured(detail=f"{', '.join(map(repr, wrong))}: a tenant's folder is named by {form}")
        return {
            tenant: f"file:{rest.rstrip('/')}/{bucket}" if scheme == "file" else location
            for tenant, bucket in buckets.items()
        }
    raise StoreMisconfigured(detail=f"'{location}' has no buckets; use s3://, file: or memory:")
