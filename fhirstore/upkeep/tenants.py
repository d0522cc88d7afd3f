"""Adds tenants to the registry of a store, and removes them with their data.

*Removal* of a live tenant makes it *leaving*: within `TRUSTED_FOR` seconds no process serves it any more, and after the
longest write window nothing is written for it. Only then is its data removed, page by page, until a listing that began
so long after the last removal that no late write can follow is empty. Then the registry forgets the tenant: that is the
commit point. After a crash or an error the same call goes on where it was.

A process that is stopped in the middle of a request, and goes on after all that, can still write: that data belongs to
no tenant, and `RegisteredTenancy.not_configured` tells of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import msgspec

from fhirstore.commit.backoff import CONTENDED
from fhirstore.commit.drive import drive
from fhirstore.commit.idempotent import aborted, listed, removed, stored, uploads_listed
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import AbortUpload, Absent, Get, List, ListUploads, Pause, Protocol
from fhirstore.commit.reading import ask
from fhirstore.errors import StoreCannot, TenantNotEmpty, Unavailable
from fhirstore.format.keyspace import Keyspace
from fhirstore.format.registry import (
    ADD,
    DROP,
    KEEP,
    LEAVE,
    LEAVING,
    REGISTRY,
    STAY,
    Registry,
    Tenant,
    decode_registry,
    log_key,
)
from fhirstore.jobs.lease import compare_and_set
from fhirstore.objects.base import IF_ABSENT, IfMatch
from fhirstore.tenancy import TRUSTED_FOR, RegisteredTenancy, not_configured

_ROUNDS = 20
_SAME = 3  # listings that begin with the same key, although it was removed
_LEAVING = "Tenant '{}' is being removed with its data; finish that first"
_STEP = 1.0  # seconds between two lines of progress


class TenantRemoval(msgspec.Struct, frozen=True):
    """How far a removal has come. `phase`: waiting, removing or checking. `removed`: objects so far."""

    phase: str
    removed: int


OnRemoval = Callable[[TenantRemoval], None]


class Tenants:
    """The tenants of a store, as its registry names them. Any number of callers may change them at once."""

    def __init__(self, tenancy: RegisteredTenancy, context: Context) -> None:
        self._tenancy = tenancy
        self._context = context

    async def list(self) -> Mapping[str, Tenant]:
        """Returns all tenants by id, those that are leaving, too. 1 GET. Raises CorruptRecord, StoreUnavailable."""
        return (await self._tenancy.look()).tenants

    async def add(self, tenant: str) -> bool:
        """Adds a tenant, which every server serves within `LOOK_EVERY` seconds. Returns False where it is there.

        Commit point: the PUT of the registry. 1 GET + 2 PUT. Raises UnknownTenant (malformed), TenantNotEmpty (its
        removal is under way), StoreMisconfigured (there are too many), Unavailable.
        """
        Keyspace.of_tenant(tenant)
        done = await drive(change(ADD, tenant, context=self._context), self._tenancy.objects)
        if done is None:
            raise TenantNotEmpty(_LEAVING.format(tenant))
        return done

    async def remove(
        self,
        tenant: str,
        *,
        purge_data: bool = False,
        keep_data: bool = False,
        trusted_for: float = TRUSTED_FOR,
        settled: float | None = None,
        on_progress: OnRemoval = lambda _: None,
    ) -> int:
        """Removes a tenant. Returns how many objects were removed with it.

        `purge_data`: remove all that it has stored. `keep_data`: leave that where it is, where a tenant that is added
        again under this id finds it. Raises TenantNotEmpty where it has data and neither is asked for: then it stays.
        Raises UnknownTenant, StoreCannot (an object cannot be removed), Unavailable; then call it again. Takes about a
        minute, for servers that have yet to notice (`trusted_for`) and writes under way (`settled`, both in seconds);
        with `keep_data` none.
        """
        keys = Keyspace.of_tenant(tenant)
        work = (
            _kept(tenant, self._context)
            if keep_data
            else removal(
                keys,
                tenant,
                purge_data=purge_data,
                trusted_for=trusted_for,
                settled=self._context.limits.settled / 1000 if settled is None else settled,
                context=self._context,
                on_progress=on_progress,
            )
        )
        return await drive(work, self._tenancy.objects)


async def copy_registration(
    source: RegisteredTenancy, target: Tenants, *, tenant: str | None = None, but: Collection[str] = ()
) -> list[str]:
    """Adds the live tenants of `source` to the registry of another store. Returns those that it had not.

    `tenant`: only this one. `but`: not these. 1 GET, and 1 GET + 2 PUT for each. Raises as `Tenants.add`.
    """
    live = sorted((await source.look()).live().difference(but))
    return [name for name in live if tenant in (None, name) and await target.add(name)]


def change(event: str, tenant: str, *, context: Context) -> Protocol[bool | None]:
    """Changes the registry by an event. Returns whether that changed anything; None where the state refuses it.

    Commit point: the PUT of the registry; the log follows. Raises CorruptRecord, StoreMisconfigured, Unavailable.
    """
    for n in range(CONTENDED.tries):
        (reply,) = yield from ask(Get(REGISTRY))
        found = Registry() if isinstance(reply, Absent) else decode_registry(reply.body)
        new = found.after(event, tenant, now=reply.date, write=context.ids.new())
        if new is None:
            return None
        if new.tenants == found.tenants:
            return False
        condition = IF_ABSENT if isinstance(reply, Absent) else IfMatch(reply.etag)
        if (yield from compare_and_set(REGISTRY, new.encode(), condition)) is not None:
            yield from stored(log_key(reply.date, event, tenant, new.write), b"")
            return True
        yield CONTENDED.jittered(n, context.ids)
    raise Unavailable("Others keep changing the registry of tenants; try again later")


def removal(
    keys: Keyspace,
    tenant: str,
    *,
    purge_data: bool,
    trusted_for: float,
    settled: float,
    context: Context,
    on_progress: OnRemoval,
) -> Protocol[int]:
    """Removes a tenant as `Tenants.remove` without `keep_data` does."""
    state = yield from _state(tenant)
    if state is None:
        raise not_configured(tenant)
    if not purge_data and (yield from _has_objects(keys)):  # soon told, before anybody is turned away
        if state == LEAVING:
            yield from change(STAY, tenant, context=context)
        raise _not_empty(tenant)
    if (yield from change(LEAVE, tenant, context=context)) is None:
        raise not_configured(tenant)
    yield from _wait(trusted_for, TenantRemoval("waiting", 0), on_progress)
    count = 0
    for _ in range(_ROUNDS):
        if purge_data:
            count = yield from _remove_all(keys, count, on_progress)
        yield from _wait(settled, TenantRemoval("checking", count), on_progress)
        if not (yield from _has_objects(keys)):
            yield from change(DROP, tenant, context=context)
            return count
        if not purge_data:
            yield from change(STAY, tenant, context=context)
            raise _not_empty(tenant)
    raise Unavailable(f"Something keeps writing for tenant '{tenant}', which nobody should serve; look for it")


def _kept(tenant: str, context: Context) -> Protocol[int]:
    if (yield from change(KEEP, tenant, context=context)) is None:
        found = yield from _state(tenant)
        raise not_configured(tenant) if found is None else TenantNotEmpty(_LEAVING.format(tenant))
    return 0


def _state(tenant: str) -> Protocol[str | None]:
    (reply,) = yield from ask(Get(REGISTRY))
    return None if isinstance(reply, Absent) else decode_registry(reply.body).state(tenant)


def _has_objects(keys: Keyspace) -> Protocol[bool]:
    page = yield from listed(List(keys.prefix, limit=1))
    return bool(page.objects)


def _remove_all(keys: Keyspace, count: int, on_progress: OnRemoval) -> Protocol[int]:
    """Removes all objects, and aborts all uploads. Returns `count` and the number of those. Raises StoreCannot."""
    first, same = "", 0
    while True:
        page = yield from listed(List(keys.prefix))
        if not page.objects:
            break
        same = same + 1 if page.objects[0].key == first else 0
        first = page.objects[0].key
        if same == _SAME:
            raise StoreCannot(first, "the store does not remove this object; is it locked?")
        yield from removed(*(one.key for one in page.objects))
        count += len(page.objects)
        on_progress(TenantRemoval("removing", count))
    while True:
        uploads = (yield from uploads_listed(ListUploads(keys.prefix))).uploads
        if not uploads:
            return count
        for upload in uploads:
            yield from aborted(AbortUpload(upload.key, upload.upload))


def _wait(seconds: float, progress: TenantRemoval, on_progress: OnRemoval) -> Protocol[None]:
    left = seconds
    while left > 0:
        on_progress(progress)
        yield Pause(min(left, _STEP))
        left -= _STEP


def _not_empty(tenant: str) -> TenantNotEmpty:
    return TenantNotEmpty(f"Tenant '{tenant}' has data; say whether it is to be removed, or kept without a tenant")
