"""A copy that ends at any write goes on from there, and the target is sound in between."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

import pytest

from fhirstore import CopyOptions, LeaseLost
from fhirstore.commit.drive import drive
from fhirstore.commit.reading import look
from fhirstore.errors import NotFound
from fhirstore.objects.base import (
    CONCURRENCY,
    PART_SIZE,
    Condition,
    ObjectStore,
    PutAnswer,
    PutRequest,
    StoredObject,
    Written,
)
from fhirstore.objects.facts import Facts, Progress
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.passing_on import PassingOn
from tests.commit.hurried import HandClock
from tests.upkeep.copy.places import (
    MINUTE,
    QUICK,
    TENANT,
    Side,
    checked,
    committed,
    copy,
    fill,
    histories,
    patient,
    transact,
)

LEASE = 20_000


class Killed(BaseException):
    """The copier was killed."""


class Mortal(PassingOn):
    """A store whose user dies after some writes; of the PUTs that were sent together, any may have been applied."""

    def __init__(self, inner: ObjectStore, lives: int, randomness: random.Random) -> None:
        super().__init__(inner)
        self.lives = lives
        self._random = randomness

    def _live(self) -> None:
        self.lives -= 1
        if self.lives < 0:
            raise Killed

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        condition: Condition | None = None,
        expires: int | None = None,
        facts: Facts | None = None,
    ) -> Written:
        self._live()
        return await super().put(key, body, condition=condition, expires=expires, facts=facts)

    async def put_many(self, puts: Sequence[PutRequest]) -> Sequence[PutAnswer]:
        if self.lives >= len(puts):
            self.lives -= len(puts)
            return await super().put_many(puts)
        applied = self._random.sample(list(puts), max(0, min(self.lives, len(puts))))
        self.lives = -1
        await super().put_many(applied)
        raise Killed

    async def put_stream(
        self,
        key: str,
        chunks: AsyncIterator[bytes],
        *,
        facts: Facts | None = None,
        part_size: int = PART_SIZE,
        concurrency: int = CONCURRENCY,
        progress: Progress | None = None,
    ) -> Written:
        self._live()
        return await super().put_stream(key, chunks, facts=facts)

    async def delete_many(self, keys: Sequence[str]) -> None:
        self._live()
        await super().delete_many(keys)

    async def delete(self, key: str, *, expires: int | None = None) -> None:
        self._live()
        await super().delete(key, expires=expires)


class Interleaving(PassingOn):
    """A store whose every read lets others go first."""

    async def get(self, key: str) -> StoredObject:
        await asyncio.sleep(0)
        return await super().get(key)


async def sound(side: Side) -> None:
    """Whatever a reader of the target finds has its versions, events, references and payloads."""
    keys, there = side.place.keys, set(await side.keys())
    for key in sorted(there):
        if not key.endswith("/current.json"):
            continue
        _, type_, id_, _ = key.split("/")
        resource = keys.resource(type_, id_)
        base, _ = await drive(look(resource), side.objects)
        record = base.record
        assert record is not None
        assert record.intent is None
        for version in range(record.floor + 1, record.version + 1):
            slot = resource.version(version).removeprefix(keys.prefix)
            assert slot in there, slot
        if record.exists:
            names = (record.t, record.version, record.method, record.op)
            assert resource.system_event(*names).removeprefix(keys.prefix) in there
            assert resource.type_event(*names).removeprefix(keys.prefix) in there
        if record.payload is not None:
            reference = resource.reference(record.payload.sha256, record.version, record.op)
            assert {record.payload.object, reference.removeprefix(keys.prefix)} <= there


async def change(side: Side) -> None:
    """What a second pass has to bring: versions, a deletion, a purge, and a purge with a later version."""
    await side.clinic.update(patient("p0", active=True))
    await side.clinic.delete("Patient", "p1")
    await transact(side.clinic, "p2", "late")
    side.clock.ms += MINUTE
    for id_ in ("p0", "p2"):
        await side.clinic.upkeep.purge("Patient", id_, by="tester")
    await side.clinic.update(patient("p2"))
    side.clock.ms += MINUTE


async def test_a_copier_that_is_killed_at_any_write_leaves_what_the_next_one_finishes() -> None:
    """Of the first walk and of a pass with purges; one copier after the other dies a few writes later."""
    source = Side(HandClock())
    await fill(source, patients=4)
    randomness = random.Random(7)
    clock, objects = source.clock, MemoryStore(source.clock)
    deaths = 0
    for stage in range(2):
        if stage:
            await change(source)
        while True:
            target = Side(clock, given=Mortal(objects, randomness.randrange(1, 12 + deaths // 2), randomness))
            try:
                report = await copy(source, target, CopyOptions(at_once=3, verify=False, lease=LEASE))
                break
            except Killed:
                deaths += 1
                clock.ms += LEASE + 1_000
                await sound(Side(clock, given=objects))
        assert report.complete
        whole = Side(clock, given=objects)
        assert (await source.store.compare_to(whole.store, TENANT)).equal
        assert await committed(whole) == await committed(source)
        assert await histories(whole.clinic) == await histories(source.clinic)
    assert deaths > 20
    assert await checked(whole) == 0


class Stopping(PassingOn):
    """A store whose user is stopped for a while, just before it writes the `current.json` of one resource."""

    def __init__(self, inner: ObjectStore, key: str) -> None:
        super().__init__(inner)
        self.key = key
        self.stopped, self.goes_on = asyncio.Event(), asyncio.Event()

    async def put_many(self, puts: Sequence[PutRequest]) -> Sequence[PutAnswer]:
        if any(put.key == self.key for put in puts) and not self.stopped.is_set():
            self.stopped.set()
            await self.goes_on.wait()
        return await super().put_many(puts)


async def test_a_copier_that_was_stopped_changes_nothing_after_another_has_taken_over() -> None:
    """Its PUT arrives when the target is complete and newer; the store refuses it, and the copier gives up."""
    source = Side(HandClock())
    await fill(source, patients=4)
    objects = MemoryStore(source.clock)
    key = source.place.keys.resource("Patient", "p0").current
    stopping = Stopping(objects, key)
    options = CopyOptions(at_once=1, verify=False, lease=3_000)
    zombie = asyncio.create_task(copy(source, Side(source.clock, given=stopping), options))
    await stopping.stopped.wait()
    await source.clinic.update(patient("p0", active=True))
    source.clock.ms += MINUTE
    target = Side(source.clock, given=objects)
    assert (await copy(source, target, QUICK)).complete
    stopping.goes_on.set()
    with pytest.raises(LeaseLost):
        await zombie
    assert await committed(target) == await committed(source)
    await target.store.refuse_unfinished_copies()


async def test_a_source_that_is_written_all_the_time_is_followed_until_it_is_quiet() -> None:
    """Updates, transactions, deletions and purges beside the copy: nothing is lost, nothing comes back."""
    clock = HandClock()
    source = Side(clock, given=Interleaving(MemoryStore(clock)))
    await fill(source, patients=8)
    target = Side(source.clock)
    randomness = random.Random(3)

    async def write() -> None:
        for n in range(150):
            id_ = f"p{randomness.randrange(12)}"
            source.clock.ms += randomness.choice((1, 7, 300))
            match randomness.randrange(8):
                case 0:
                    with suppress(NotFound):
                        await source.clinic.delete("Patient", id_)
                case 1:
                    await transact(source.clinic, id_, f"new{n}")
                case 2:
                    source.clock.ms += MINUTE
                    await source.clinic.upkeep.purge("Patient", id_, by="tester")
                case _:
                    await source.clinic.update(patient(id_, gender="other", birthDate=f"19{n % 80 + 10}"))
            await asyncio.sleep(0)
        source.clock.ms += MINUTE

    options = CopyOptions(at_once=4, follow=True, pause=0.01, lease=100 * MINUTE)
    report, _ = await asyncio.gather(copy(source, target, options), write())
    assert report.complete
    last = await copy(source, target, QUICK)
    assert last.complete
    assert await committed(target) == await committed(source)
    assert await histories(target.clinic) == await histories(source.clinic)
    assert await checked(target) == 0
