"""The library's face: `FhirStore` opens a place, `TenantStore` runs interactions in it. Wiring only.

async with FhirStore.open("s3://bucket/prefix") as store:      # or "file:./data", "memory:"
    clinic = store.tenant("default")
    patient = await clinic.create({"resourceType": "Patient", "active": True})
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from fhirstore import json, resources
from fhirstore.clock import Ids, SystemIds
from fhirstore.commit.drive import drive
from fhirstore.commit.purge import Purged, purge
from fhirstore.commit.reading import look, vread
from fhirstore.commit.remembered import RememberedBases
from fhirstore.commit.rules import Context, Rules
from fhirstore.commit.single import Decide, Outcome, write
from fhirstore.commit.turns import Turns
from fhirstore.errors import IdempotencyKeyReused
from fhirstore.fsck.run import FsckReport, Progress, Thoroughness, fsck
from fhirstore.history.events import EventsHistory
from fhirstore.history.instance import instance_page
from fhirstore.history.page import HistoryPage, HistoryQuery
from fhirstore.history.remembered import RememberedHistories
from fhirstore.keyspace import ResourceKeys
from fhirstore.objects import S3Options, open_objects
from fhirstore.objects.base import ObjectStore
from fhirstore.resources import Version
from fhirstore.sweep.run import SweepReport, sweep
from fhirstore.tenancy import BucketTenancy, Place, PrefixTenancy, Tenancy, bucket_locations


class FhirStore:
    """All tenants of one deployment. Make it with `open`, or from a `Tenancy` of one's own stores."""

    def __init__(self, tenancy: Tenancy, *, rules: Rules | None = None, ids: Ids | None = None) -> None:
        self.tenancy = tenancy
        self.rules = rules or Rules()
        self.ids = ids or SystemIds()
        self.remembered = RememberedBases()
        self.remembered_histories = RememberedHistories()
        self._turns = Turns()
        self._rests: set[asyncio.Task[object]] = set()

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
        return TenantStore(self, self.tenancy.place(tenant))

    async def check(self) -> None:
        """Are all stores there? Raises StoreMisconfigured."""
        for objects in self.tenancy.stores:
            await objects.check()

    async def settle(self) -> None:
        """Wait for the writes whose callers went away."""
        while self._rests:
            await asyncio.wait(self._rests)

    def context(self, place: Place) -> Context:
        """What protocols on this place's objects work with."""
        return Context(place.objects.now, self.ids, self.rules)

    async def commit(self, place: Place, keys: ResourceKeys, decide: Decide, *, fresh: bool = False) -> Outcome:
        """Run one write to its end, even if the caller is cancelled meanwhile: nobody leaves half a write."""
        context = self.context(place)
        if fresh:
            protocol = write(keys, decide, context=context, fresh=True)
            outcome = await drive(protocol, place.objects, finish=self._finish)
        else:
            async with self._turns.turn((place.tenant, keys.current)):
                guess = self.remembered.get(place.tenant, keys.current)
                protocol = write(keys, decide, context=context, remembered=guess)
                outcome = await drive(protocol, place.objects, finish=self._finish)
        if outcome.record is not None and outcome.etag is not None:
            self.remembered.remember(place.tenant, keys.current, outcome.record, outcome.etag)
        else:
            self.remembered.forget(place.tenant, keys.current)
        return outcome

    async def purge(self, place: Place, keys: ResourceKeys, *, by: str) -> Purged:
        """Run one purge to its end, even if the caller is cancelled meanwhile."""
        context = self.context(place)
        try:
            return await drive(purge(keys, by=by, context=context), place.objects, finish=self._finish)
        finally:
            self.remembered.forget(place.tenant, keys.current)

    def _finish(self, rest: Coroutine[None, None, object]) -> None:
        """Own what a cancelled caller left under way."""
        task = asyncio.create_task(rest)
        self._rests.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[object]) -> None:
        self._rests.discard(task)
        if not task.cancelled():
            task.exception()  # seen: the caller is gone


class TenantStore:
    """FHIR interactions on one tenant's resources. Each is atomic, and durable when it returns."""

    def __init__(self, store: FhirStore, place: Place) -> None:
        self._store = store
        self._place = place

    async def create(
        self, resource: bytes | Mapping[str, object], *, type: str | None = None, idempotency_key: str | None = None
    ) -> Version:
        """Store a new resource under a server-assigned id; an id in it is ignored. 4 PUT, 2 round trips.

        `resource`: JSON bytes, or a dict. `type`: what it must be. `idempotency_key`: the id is derived from it, so
        that asking again makes nothing new and returns the first version. Raises MalformedContent, InvalidResource,
        IdempotencyKeyReused (with another body), NotFound (what the key stands for was purged).
        """
        content = _parse(resource)
        type_ = resources.type_of(content, type)
        if idempotency_key is None:
            id_ = self._store.ids.new()
            outcome = await self._commit(type_, id_, resources.creation(_builder(content, id_)), fresh=True)
        else:
            id_ = resources.id_for_key(self._place.tenant, type_, idempotency_key)
            outcome = await self._commit(type_, id_, resources.creation_once(_builder(content, id_)), fresh=True)
        if outcome.record is None or not outcome.applied:
            return await self._first_answer(type_, id_, content)
        return resources.version_of(type_, id_, outcome.record, created=True)

    async def _first_answer(self, type: str, id: str, content: dict[str, object]) -> Version:
        """What the first request with this Idempotency-Key was answered."""
        first = await self.vread(type, id, 1)
        if _builder(content, id)(1, first.last_updated) != first.content:
            raise IdempotencyKeyReused("This Idempotency-Key was used with another body; use a fresh key")
        return replace(first, created=True)

    async def read(self, type: str, id: str) -> Version:
        """The current version. 1 GET. Raises NotFound, Gone, UnknownType, InvalidResource (malformed id)."""
        keys = self._keys(type, id)
        base, _ = await drive(look(keys), self._place.objects)
        if base.record is not None and base.etag is not None:
            self._store.remembered.remember(self._place.tenant, keys.current, base.record, base.etag)
        return resources.version_of(type, id, resources.readable(base.shown))

    async def vread(self, type: str, id: str, version_id: int) -> Version:
        """That version. 2 GET, 1 round trip. Raises NotFound, Gone (that version is a deletion)."""
        keys = self._keys(type, id)
        record = await drive(vread(keys, version_id, rules=self._store.rules), self._place.objects)
        return resources.version_of(type, id, resources.readable(record))

    async def update(
        self,
        resource: bytes | Mapping[str, object],
        *,
        type: str | None = None,
        id: str | None = None,
        if_match: int | None = None,
    ) -> Version:
        """Store the next version under the resource's own id, creating it if need be. 1 GET + 4 PUT, 3 round trips.

        `type`, `id`: what it must carry. `if_match`: only over that version. Raises MalformedContent,
        InvalidResource, VersionConflict, Contention.
        """
        content = _parse(resource)
        type_ = resources.type_of(content, type)
        id_ = resources.id_for_update(content, type_, id)
        outcome = await self._commit(type_, id_, resources.update(_builder(content, id_), if_match))
        assert outcome.record is not None  # noqa: S101 - an update always makes a record
        created = outcome.before is None or outcome.before.deleted
        return resources.version_of(type_, id_, outcome.record, created=created)

    async def delete(self, type: str, id: str, *, if_match: int | None = None) -> Version | None:
        """Make a tombstone the next version. Returns it, or the older tombstone, or None where nothing ever was.

        1 GET + 4 PUT, 3 round trips. Raises VersionConflict, Contention.
        """
        resources.known_type(type)
        resources.well_formed_id(id)
        outcome = await self._commit(type, id, resources.deletion(if_match))
        return None if outcome.record is None else resources.version_of(type, id, outcome.record)

    async def history(
        self, type: str | None = None, id: str | None = None, *, query: HistoryQuery | None = None
    ) -> AsyncIterator[Version]:
        """Every version of one resource, of a type or of all, newest first, deletions included; page by page.

        Raises NotFound (one resource that was never there), UnknownType, InvalidResource, Unavailable.
        """
        page = await self.history_page(type, id, query=query)
        while True:
            for version in page.versions:
                yield version
            if page.next is None:
                return
            page = await self.history_page(type, id, query=query, cursor=page.next)

    async def history_page(
        self,
        type: str | None = None,
        id: str | None = None,
        *,
        query: HistoryQuery | None = None,
        cursor: str | None = None,
    ) -> HistoryPage:
        """One page of it: the first, or the one that the `next` of another page names.

        n entries cost at most n + 1 GET for one resource, 2 LIST + 2n GET for a type or all. Raises as `history`.
        """
        query, context = query or HistoryQuery(), self._context()
        if type is not None and id is not None:
            one = instance_page(self._keys(type, id), query, cursor, context=context)
            return await drive(one, self._place.objects)
        if type is not None:
            resources.known_type(type)
        remembered = self._store.remembered_histories
        events = EventsHistory(self._place.tenant, self._place.keys, type, query, remembered, context)
        return await drive(events.page(cursor), self._place.objects)

    async def purge(self, type: str, id: str, *, by: str) -> Purged:
        """Remove every version and its history physically; version numbers are never used again.

        `by`: who asks, for the audit line. Ask again if it fails: it goes on where it was. Waits for the end of a
        version's write window. Raises Contention, Unavailable, WriteOutcomeUnknown.
        """
        return await self._store.purge(self._place, self._keys(type, id), by=by)

    async def sweep(self) -> SweepReport:
        """One pass of the sweeper: remove what dead attempts left. Raises Unavailable, CorruptRecord; do it again."""
        return await drive(sweep(self._place.keys, context=self._context()), self._place.objects)

    async def fsck(
        self, how: Thoroughness | None = None, *, on_progress: Callable[[Progress], None] | None = None
    ) -> FsckReport:
        """Check everything that is stored, beside live writers; repair only if `how` says so. Raises Unavailable."""
        protocol = fsck(self._place.keys, context=self._context(), how=how, on_progress=on_progress)
        return await drive(protocol, self._place.objects)

    def _context(self) -> Context:
        return self._store.context(self._place)

    def _keys(self, type: str, id: str) -> ResourceKeys:
        return self._place.keys.resource(resources.known_type(type), id)

    async def _commit(self, type: str, id: str, decide: Decide, *, fresh: bool = False) -> Outcome:
        keys = self._place.keys.resource(type, id)
        return await self._store.commit(self._place, keys, decide, fresh=fresh)


def _parse(resource: bytes | Mapping[str, object]) -> dict[str, object]:
    return json.parse(resource if isinstance(resource, bytes) else json.dump(resource))


def _builder(content: dict[str, object], id: str) -> Callable[[int, int], bytes]:
    return lambda version, t: json.with_identity(content, id=id, version=version, last_updated=t)
