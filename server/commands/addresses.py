"""What `fhirstore ls`, `cat` and `presign` are asked for: a FHIR reference or a key, and in which store that is.

A path that begins with a capital letter is a reference of a tenant: `Patient`, `Patient/1`, `Patient/1/_history/2`.
Any other is a key, as `ls` prints it: below the tenant's prefix with --tenant, else below the root of the store. No key
of ours begins with a capital letter, so the two never mean the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fhirstore import FhirStore, is_tenant_id, kept_at
from fhirstore.errors import UnknownTenant
from fhirstore.objects import CheckedStore, ObjectStore

_REFERENCE = re.compile(
    r"(?P<type>[A-Z][A-Za-z]{1,63})(?:/(?P<id>[A-Za-z0-9.-]{1,64})(?:/_history(?:/(?P<version>[1-9][0-9]{0,17}))?)?)?/?"
)


class BadAddress(Exception):
    """The path, or the path without a tenant, names nothing; the message says what to write."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A resource type, a resource or a version."""

    type: str
    id: str | None = None
    version: int | None = None

    def __str__(self) -> str:
        parts = [self.type, *([self.id] if self.id else []), *(["_history", str(self.version)] if self.version else [])]
        return "/".join(parts)


@dataclass(frozen=True, slots=True)
class Root:
    """Where keys begin. `tenant` None: at the root of the store, of all tenants."""

    objects: ObjectStore
    prefix: str
    tenant: str | None


def parse_path(path: str) -> Reference | str:
    """Returns a reference, or the key as it is. Raises BadAddress for what begins like a reference and is none."""
    if not path[:1].isupper():
        return path
    found = _REFERENCE.fullmatch(path)
    if found is None:
        raise BadAddress(f"{path!r} is no reference; write Type, Type/id or Type/id/_history/version")
    version = found["version"]
    return Reference(found["type"], found["id"], None if version is None else int(version))


async def root_of(store: FhirStore, tenant: str | None, *, of_tenant: bool) -> Root:
    """Returns where keys begin. `of_tenant`: a tenant is needed: the named one, else the only one.

    Raises BadAddress where the choice is not clear; UnknownTenant.
    """
    if tenant is None and of_tenant:
        names = await store.tenancy.names()
        if len(names) != 1:
            raise BadAddress("say whose resource it is: --tenant ID")
        tenant = names[0]
    if tenant is not None:
        place = store.tenancy.place(tenant)
        return Root(CheckedStore(place.objects), place.keys.prefix, tenant)
    stores = store.tenancy.stores
    if len(stores) != 1:
        raise BadAddress("each tenant has a bucket of its own here; say which: --tenant ID")
    return Root(CheckedStore(stores[0]), "", None)


def is_own(root: Root, key: str) -> bool:
    """Returns whether `key`, below the root, is one that fhirstore itself writes."""
    if root.tenant is not None:
        return kept_at(key).kind != "other"
    tenant, _, rest = key.partition("/")
    return kept_at(rest).kind != "other" if is_tenant_id(tenant) else tenant.startswith("_")


__all__ = ["BadAddress", "Reference", "Root", "UnknownTenant", "is_own", "parse_path", "root_of"]
