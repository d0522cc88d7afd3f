"""Which tenants exist, and where each one's objects lie.

*Prefix* tenancy keeps all tenants in one bucket, each below `{tenant}/`. *Bucket* tenancy gives each a bucket of its
own by an explicit map. Either way a tenant that is not configured is an error, never a default, and two tenants never
share a place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from fhirstore.errors import StoreMisconfigured, UnknownTenant
from fhirstore.format.keyspace import Keyspace, is_tenant_id, tenant_id
from fhirstore.objects.base import ObjectStore


@dataclass(frozen=True, slots=True)
class Place:
    """One tenant's store and keys."""

    tenant: str
    objects: ObjectStore
    keys: Keyspace


class Tenancy(Protocol):
    """Finds tenants; one of the two below."""

    def place(self, tenant: str) -> Place:
        """Where `tenant` lies. Raises UnknownTenant when it is malformed or not configured."""
        ...

    @property
    def stores(self) -> tuple[ObjectStore, ...]:
        """Every store in use."""
        ...

    async def names(self) -> list[str]:
        """Every tenant that is configured; where any well-formed id is one, those that have objects."""
        ...

    async def not_configured(self) -> list[str]:
        """Tenants that have objects here although they are not configured."""
        ...


@dataclass(frozen=True, slots=True)
class PrefixTenancy:
    """All tenants in one store. `tenants` None: any well-formed id is a tenant."""

    objects: ObjectStore
    tenants: frozenset[str] | None

    def place(self, tenant: str) -> Place:
        keys = Keyspace.of_tenant(tenant)
        if self.tenants is not None and tenant not in self.tenants:
            raise UnknownTenant("Unknown tenant")
        return Place(tenant, self.objects, keys)

    @property
    def stores(self) -> tuple[ObjectStore, ...]:
        return (self.objects,)

    async def names(self) -> list[str]:
        if self.tenants is not None:
            return sorted(self.tenants)
        return await self._stored()

    async def not_configured(self) -> list[str]:
        return [] if self.tenants is None else sorted(set(await self._stored()) - self.tenants)

    async def _stored(self) -> list[str]:
        """Every tenant that has objects. 1 LIST for a thousand of them."""
        found: list[str] = []
        cursor: str | None = None
        while True:
            page = await self.objects.list("", cursor=cursor, delimiter=True)
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
            raise UnknownTenant("Unknown tenant")
        return Place(tenant, objects, Keyspace(""))

    @property
    def stores(self) -> tuple[ObjectStore, ...]:
        return tuple(self.by_tenant.values())

    async def names(self) -> list[str]:
        return sorted(self.by_tenant)

    async def not_configured(self) -> list[str]:
        return []


def bucket_locations(location: str, buckets: Mapping[str, str]) -> dict[str, str]:
    """The location of each tenant's own store: `location` with its bucket (or last folder) replaced.

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
