"""Runs protocols, and holds what all tenants of a store share. It knows no interaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace

from fhirstore.clock import Ids, SystemIds
from fhirstore.commit.drive import drive
from fhirstore.commit.limits import Context, Limits
from fhirstore.commit.local_locks import LocalLocks
from fhirstore.commit.messages import Protocol, Result
from fhirstore.commit.purge import Purged, purge
from fhirstore.commit.remembered import RememberedBases
from fhirstore.commit.single import Decide, WriteResult, write
from fhirstore.commit.transaction import Guard, Part, transact
from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.validation import Validator
from fhirstore.fhir.validation.operation import Examiner
from fhirstore.format.keyspace import ResourceKeys
from fhirstore.format.record import Record
from fhirstore.history.remembered import RememberedHistories
from fhirstore.indexing.indexer import Indexer
from fhirstore.indexing.indexes import Indexes
from fhirstore.indexing.options import IndexOptions
from fhirstore.jobs.limits import JobLimits
from fhirstore.jobs.signals import JobSignals
from fhirstore.objects.facts import Facts
from fhirstore.objects.retries import set_retry_budget, without_budget
from fhirstore.objects.wrappers.read_counter import ReadCounter
from fhirstore.tags import PAYLOAD, VERSION, Tags
from fhirstore.tenancy import Place


class Engine:
    """Runs protocols on the objects of a tenant's place, and owns the writes whose callers were cancelled."""

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        ids: Ids | None = None,
        validator: Validator | None = None,
        reference_integrity: bool = False,
        externalize_attachments: bool = False,
        job_limits: JobLimits | None = None,
        tags: Tags | None = None,
        indexes: Indexes | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.ids = ids or SystemIds()
        self.validator = validator or Validator(definitions())
        self.examiner = Examiner(self.validator)
        self.indexes = indexes or Indexes(IndexOptions(), self.validator.definitions)
        self.reference_integrity = reference_integrity
        self.externalize_attachments = externalize_attachments
        self.job_limits = job_limits or JobLimits()
        self.tags = tags or Tags()
        self.job_signals = JobSignals()
        self.remembered = RememberedBases()
        self.remembered_histories = RememberedHistories()
        self.upload_keys: dict[str, bytes] = {}  # of tenants that have signed or checked a ticket in this process
        self._locks = LocalLocks()
        self._rests: set[asyncio.Task[object]] = set()

    async def settle(self, *, within: float | None = None) -> int:
        """Waits for the writes whose callers are gone. Returns how many it cancelled because they took too long.

        `within`: seconds; None waits for all. A cancelled write leaves what a crash leaves: orphans, or a transaction
        that any other process can decide.
        """
        loop = asyncio.get_running_loop()
        until = None if within is None else loop.time() + within
        while self._rests and (until is None or loop.time() < until):
            await asyncio.wait(self._rests, timeout=None if until is None else until - loop.time())
        left = list(self._rests)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        return len(left)

    def context(self, place: Place) -> Context:
        """Returns the context of protocols on this place's objects."""

        def facts(content_type: str | None) -> Facts | None:
            return self.tags.facts(PAYLOAD, place.tenant, content_type=content_type, type="Binary")

        return Context(place.objects.now, self.ids, self.limits, facts, self.tagged(place))

    def tagged(self, place: Place) -> Callable[[str], Facts | None] | None:
        """Returns what makes the facts of version objects here, by resource type; None where they have none."""
        if VERSION not in self.tags.kinds:
            return None
        return lambda type: self.tags.facts(VERSION, place.tenant, type=type)

    def indexer(self, place: Place) -> Indexer:
        """Returns the local index of this place's resources. All who search share it, so nobody's reads are counted."""
        if isinstance(place.objects, ReadCounter):
            place = replace(place, objects=place.objects.inner)
        return self.indexes.of(place, self.context(place))

    async def commit(
        self,
        place: Place,
        keys: ResourceKeys,
        decide: Decide,
        *,
        fresh: bool = False,
        by_content: bool = False,
        heavy: bool = False,
    ) -> WriteResult:
        """Runs one write to its end, even if the caller is cancelled in between. Raises as `single.write`.

        `fresh`: the id is new. `by_content`: `decide` looks at the stored content, so a remembered base is not enough.
        `heavy`: see `drive`.
        """
        context = self.context(place)
        if fresh:
            protocol = write(keys, decide, context=context, fresh=True)
            result = await drive(protocol, place.objects, finish=self._finish, heavy=heavy)
        else:
            async with self._locks.hold((place.tenant, keys.current)):
                guess = None if by_content else self.remembered.get(place.tenant, keys.current)
                protocol = write(keys, decide, context=context, remembered=guess)
                result = await drive(protocol, place.objects, finish=self._finish, heavy=heavy)
        self.saw(place, keys, result)
        return result

    def saw(self, place: Place, keys: ResourceKeys, result: WriteResult) -> None:
        """Remembers what a write left in `current.json`, so that the next write needs no GET; tells the index of it."""
        self._tell_index_of(place, ((keys, result),))
        if result.record is not None and result.etag is not None:
            self.remembered.remember(place.tenant, keys.current, result.record, result.etag)
        else:
            self.remembered.forget(place.tenant, keys.current)

    def lock(self, place: Place, name: str) -> AbstractAsyncContextManager[None]:
        """Returns a context manager that holds the process-wide lock `name`, which is not a key: see `local_locks`."""
        return self._locks.hold((place.tenant, "", name))

    async def run(
        self, place: Place, protocol: Protocol[Result], *, locks: Sequence[str] = (), heavy: bool = False
    ) -> Result:
        """Runs a protocol that writes to its end, as `commit` does.

        `locks`: sorted keys; the writers of this process that use the same key run one after the other.
        """
        async with AsyncExitStack() as stack:
            for key in locks:
                await stack.enter_async_context(self._locks.hold((place.tenant, key)))
            return await drive(protocol, place.objects, finish=self._finish, heavy=heavy)

    async def transact(
        self,
        place: Place,
        parts: Sequence[Part],
        *,
        guard: Guard | None = None,
        locks: Sequence[str] = (),
        heavy: bool = False,
    ) -> tuple[WriteResult, ...]:
        """Runs a transaction. Returns the results, in the order of the parts, as soon as it is committed.

        It runs in a task of its own, also if the caller is cancelled, and does round trip 4 after the return. It holds
        the locks of its resources until then. `guard`: see `transact`. `locks`: further keys to lock. Raises as
        `transact`.
        """
        answer: asyncio.Future[tuple[WriteResult, ...]] = asyncio.get_running_loop().create_future()
        self._own(asyncio.create_task(self._transact(place, parts, guard, locks, answer, heavy=heavy)))
        return await answer

    async def _transact(
        self,
        place: Place,
        parts: Sequence[Part],
        guard: Guard | None,
        more_locks: Sequence[str],
        answer: asyncio.Future[tuple[WriteResult, ...]],
        *,
        heavy: bool,
    ) -> None:
        keys = {part.keys.current for part in parts}
        async with AsyncExitStack() as locks:
            for key in sorted(keys.union(more_locks)):  # in one order, so that there is no deadlock
                await locks.enter_async_context(self._locks.hold((place.tenant, key)))
            try:
                protocol = transact(parts, context=self.context(place), guard=guard)
                done = await drive(protocol, place.objects, heavy=heavy)
            except BaseException as error:
                if not answer.done():
                    answer.set_exception(error)
                raise
            finally:
                for key in keys:
                    self.remembered.forget(place.tenant, key)
            self._tell_index_of(place, [(part.keys, one) for part, one in zip(parts, done.results, strict=True)])
            if not answer.done():
                answer.set_result(done.results)
            if done.finish is not None:
                set_retry_budget(None)  # the caller has been answered
                await self._make_final(place, parts, done.results, done.finish, heavy=heavy)

    async def _make_final(
        self,
        place: Place,
        parts: Sequence[Part],
        results: Sequence[WriteResult],
        finish: Protocol[dict[str, str]],
        *,
        heavy: bool,
    ) -> None:
        etags = await drive(finish, place.objects, heavy=heavy)
        for part, result in zip(parts, results, strict=True):
            etag = etags.get(part.keys.current)
            if etag is not None and result.record is not None:
                self.remembered.remember(place.tenant, part.keys.current, result.record, etag)

    async def purge(self, place: Place, keys: ResourceKeys, *, by: str) -> Purged:
        """Runs one purge to its end, even if the caller is cancelled in between. Raises as `purge`."""
        context = self.context(place)
        try:
            purged = await drive(purge(keys, by=by, context=context), place.objects, finish=self._finish)
            stub = Record(version=purged.floor, t=context.now(), op="", method="PURGE", floor=purged.floor)
            self._tell_index(place, ((keys.type, keys.id, stub),))
            return purged
        finally:
            self.remembered.forget(place.tenant, keys.current)

    def own(self, work: Coroutine[None, None, Result]) -> asyncio.Task[Result]:
        """Begins work that goes on when its caller is gone; `settle` waits for it. It has no retry budget."""
        task = asyncio.create_task(work, context=without_budget())
        self._own(task)
        return task

    def _finish(self, rest: Coroutine[None, None, object]) -> None:
        """Takes over the rest of a protocol whose caller was cancelled. It has no retry budget: nobody waits for it."""
        self._own(asyncio.create_task(rest, context=without_budget()))

    def _tell_index_of(self, place: Place, results: Sequence[tuple[ResourceKeys, WriteResult]]) -> None:
        """Tells the index of all writes of one commit: of the versions that were made, and of what made none."""
        if not all(one.applied for _, one in results):
            self.indexes.met(place.tenant)
        made = [(keys.type, keys.id, one.record) for keys, one in results if one.applied and one.record is not None]
        if made:
            self._tell_index(place, made)

    def _tell_index(self, place: Place, records: Iterable[tuple[str, str, Record]]) -> None:
        if self.indexes.options.follow:
            self.indexer(place).follow()
        self.indexes.wrote(place.tenant, records)

    def _own(self, task: asyncio.Task[object]) -> None:
        self._rests.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[object]) -> None:
        self._rests.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved, so that asyncio does not log it: the caller is gone
