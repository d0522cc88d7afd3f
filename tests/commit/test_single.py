"""One write is atomic, gets past the dead, and finds out what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from fhirstore.commit.drive import drive
from fhirstore.commit.limits import Limits
from fhirstore.commit.messages import Get, Protocol, Put
from fhirstore.commit.reading import read, vread
from fhirstore.commit.single import WriteResult, write
from fhirstore.errors import (
    ConditionalConflict,
    ObjectError,
    OutcomeUnknown,
    PreconditionFailed,
    StoreBusy,
    VersionConflict,
    WriteWindowClosed,
)
from fhirstore.format.keyspace import parse_event
from fhirstore.format.record import decode
from fhirstore.objects.base import Condition, PutAnswer, PutRequest, StoredObject, Written
from fhirstore.objects.facts import Facts
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.parallel_puts import put_each
from fhirstore.objects.wrappers.metered import MeteredStore
from tests.commit.writing import KEYS, context, die_before, increment, run, versions


class Interrupted(MemoryStore):
    """A memory store whose next PUT of one key is told apart: applied or not, and answered as the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.key = ""
        self.applies = False
        self.error: ObjectError | None = None
        self.before: Callable[[], Awaitable[object]] | None = None

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        condition: Condition | None = None,
        expires: int | None = None,
        facts: Facts | None = None,
    ) -> Written:
        if key != self.key:
            return await super().put(key, body, condition=condition, expires=expires, facts=facts)
        self.key = ""
        if self.before is not None:
            await self.before()
        if self.applies:
            written = await super().put(key, body, condition=condition, expires=expires, facts=facts)
            if self.error is None:
                return written
        assert self.error is not None
        raise self.error


async def test_a_first_version_is_reserved_announced_and_committed() -> None:
    """After a create there are exactly the four objects of the protocol, and the events name the version."""
    store = MemoryStore()
    outcome = await run(store, increment(), fresh=True)
    assert outcome.applied
    assert outcome.record is not None
    page = await store.list("")
    assert len(page.objects) == 4
    events = [parse_event(item.key) for item in page.objects if item.key.startswith("history/")]
    assert [(event.id, event.version, event.op) for event in events] == [("counter", 1, outcome.record.op)] * 2
    assert (await store.get(KEYS.current)).body == (await store.get(KEYS.version(1))).body


async def test_requests_and_round_trips_are_those_of_the_protocol() -> None:
    """Create 4 PUT in 2; update 1 GET + 4 PUT in 3; read 1 GET; vread 2 GET in 1."""
    store = MeteredStore(MemoryStore())
    with store.measure() as create:
        await run(store, increment(), fresh=True)
    with store.measure() as update:
        await run(store, increment())
    with store.measure() as reading:
        await drive(read(KEYS), store)
    with store.measure() as version_reading:
        assert await drive(vread(KEYS, 1, limits=Limits()), store)
    assert (create.requests, create.round_trips) == ({"PUT": 4}, 2)
    assert (update.requests, update.round_trips) == ({"GET": 1, "PUT": 4}, 3)
    assert (reading.requests, reading.round_trips) == ({"GET": 1}, 1)
    assert (version_reading.requests, version_reading.round_trips) == ({"GET": 2}, 1)


async def test_time_grows_with_every_version_even_when_the_clock_does_not() -> None:
    """t = max(store time, previous + 1 ms)."""
    store = MemoryStore()
    for _ in range(50):
        await run(store, increment())
    times = [record.t for record in await versions(store, 50)]
    assert times == sorted(set(times))


async def test_an_abandoned_reservation_is_invisible_and_the_next_writer_gets_past_it() -> None:
    """A writer dies before its commit point: nobody sees its version, and the next one takes the number."""
    store = MemoryStore()
    await run(store, increment())
    await die_before(store, KEYS.current, increment())
    assert (await store.get(KEYS.version(2))).body
    assert await drive(vread(KEYS, 2, limits=Limits()), store) is None
    current = await drive(read(KEYS), store)
    assert current is not None
    assert current.version == 1
    outcome = await run(store, increment())
    assert outcome.record is not None
    assert (outcome.record.version, outcome.record.resource) == (2, b"2")
    seen = await drive(vread(KEYS, 2, limits=Limits()), store)
    assert seen is not None
    assert seen.encode() == outcome.record.encode()


async def test_an_abandoned_first_version_is_got_past_too() -> None:
    """Where there is no current.json yet, the fence is a stub that reads as nothing."""
    store = MemoryStore()
    await die_before(store, KEYS.current, increment())
    assert await drive(read(KEYS), store) is None
    outcome = await run(store, increment())
    assert outcome.record is not None
    assert outcome.record.version == 1
    assert outcome.before is None


async def test_a_stub_left_by_a_fence_reads_as_nothing() -> None:
    """A writer that fenced and died leaves version 0, which is no version."""
    store = MemoryStore()
    await die_before(store, KEYS.current, increment())
    fencer = write(KEYS, increment(), context=context(store))
    await drive(_until_fence(fencer), store)
    assert decode((await store.get(KEYS.current)).body, "k").version == 0
    assert await drive(read(KEYS), store) is None


def _until_fence(protocol: Protocol[WriteResult]) -> Protocol[None]:
    """Run until the first PUT of current has been answered; then die."""
    batch = next(protocol)
    while True:
        replies = yield batch
        if isinstance(batch, tuple) and isinstance(batch[0], Put) and batch[0].key == KEYS.current:
            protocol.close()
            return
        batch = protocol.send(replies)


@pytest.mark.parametrize("key", [KEYS.version(2), KEYS.current])
@pytest.mark.parametrize("applies", [True, False])
@pytest.mark.parametrize(
    "error", [OutcomeUnknown("k"), PreconditionFailed("k"), ConditionalConflict("k"), StoreBusy("k")]
)
async def test_a_write_is_applied_exactly_once_whatever_the_answer_says(
    key: str, applies: bool, error: ObjectError
) -> None:
    """Lost answers, 412s that echo one's own write, 409 and 503: each is settled by reading back."""
    if applies and isinstance(error, ConditionalConflict | StoreBusy):
        applies = False
    store = Interrupted()
    await run(store, increment())
    store.key, store.applies, store.error = key, applies, error
    outcome = await run(store, increment())
    assert outcome.record is not None
    assert (outcome.record.version, outcome.record.resource) == (2, b"2")
    assert [record.resource for record in await versions(store, 2)] == [b"1", b"2"]


async def test_a_commit_beyond_its_window_is_refused_and_tried_anew() -> None:
    """A writer that slept through its window starts over with a new time."""
    store = Interrupted()
    await run(store, increment())
    store.key, store.applies, store.error = KEYS.current, False, WriteWindowClosed("k")
    outcome = await asyncio.wait_for(run_with(store, Limits(window=50, apply=10)), 30)
    assert outcome == (2, b"2")


async def run_with(store: MemoryStore, limits: Limits) -> tuple[int, bytes | None]:
    """One increment under other limits."""
    outcome = await drive(write(KEYS, increment(), context=context(store, limits)), store)
    assert outcome.record is not None
    return outcome.record.version, outcome.record.resource


async def test_a_commit_whose_answer_is_lost_and_that_was_built_upon_is_known_as_committed() -> None:
    """Current is already beyond our version: the token in our slot decides."""
    store = Interrupted()
    await run(store, increment())

    store.key, store.applies, store.error = KEYS.current, True, OutcomeUnknown("k")
    overtaking: list[asyncio.Task[object]] = []

    async def first() -> tuple[int, bytes | None]:
        outcome = await run(store, increment())
        assert outcome.record is not None
        return outcome.record.version, outcome.record.resource

    original = store.get

    async def get(key: str) -> StoredObject:
        if key == KEYS.current and not store.key and not overtaking:
            overtaking.append(asyncio.create_task(run(MemoryView(store), increment())))  # type: ignore[arg-type]
            await overtaking[0]
        return await original(key)

    store.get = get  # type: ignore[method-assign]
    assert await first() == (2, b"2")
    assert [record.resource for record in await versions(store, 3)] == [b"1", b"2", b"3"]


class MemoryView:
    """The same memory store without the interruption."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.now = store.now
        self.decides_together = False

    async def get(self, key: str) -> StoredObject:
        return await MemoryStore.get(self._store, key)

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        condition: Condition | None = None,
        expires: int | None = None,
        facts: Facts | None = None,
    ) -> Written:
        return await MemoryStore.put(self._store, key, body, condition=condition, expires=expires, facts=facts)

    async def put_many(self, puts: Sequence[PutRequest]) -> Sequence[PutAnswer]:
        return await put_each(self, puts)  # type: ignore[arg-type] # only get and put are asked here


async def test_what_a_vread_costs_while_versions_are_young() -> None:
    """2 GET for the version before the current one, which names it; 4 in three round trips for one before that."""
    store = MeteredStore(MemoryStore())
    for _ in range(3):
        await run(store, increment())
    with store.measure() as neighbour:
        assert await drive(vread(KEYS, 2, limits=Limits()), store) is not None
    with store.measure() as older:
        assert await drive(vread(KEYS, 1, limits=Limits()), store) is not None
    assert (neighbour.requests, neighbour.round_trips) == ({"GET": 2}, 1)
    assert (older.requests, older.round_trips) == ({"GET": 4}, 3)


async def test_racing_unconditional_updates_all_count() -> None:
    """Twelve writers at once, no courtesy between them: no update is lost and versions are contiguous."""
    store = MemoryStore()
    outcomes = await asyncio.gather(*[run(store, increment()) for _ in range(12)])
    assert sorted(outcome.record.version for outcome in outcomes if outcome.record) == list(range(1, 13))
    assert [record.resource for record in await versions(store, 12)] == [str(n).encode() for n in range(1, 13)]


async def test_of_racing_conditional_updates_one_wins_and_the_others_learn_the_version() -> None:
    """If-Match on the same version: one success, the rest VersionConflict with what is current."""
    store = MemoryStore()
    await run(store, increment())
    outcomes = await asyncio.gather(*[run(store, increment(1)) for _ in range(8)], return_exceptions=True)
    conflicts = [outcome for outcome in outcomes if isinstance(outcome, VersionConflict)]
    assert len(conflicts) == 7
    assert {conflict.current for conflict in conflicts} == {2}


async def test_a_slot_read_just_before_it_was_taken_over_is_not_believed() -> None:
    """vread meets an abandoned slot, then a current two versions on: it reads the slot again and gets the truth."""
    store = MemoryStore()
    await run(store, increment())
    await die_before(store, KEYS.current, increment())
    dead = await store.get(KEYS.version(2))
    for _ in range(2):
        await run(store, increment())
    protocol = vread(KEYS, 2, limits=Limits())
    next(protocol)
    assert protocol.send((dead, await store.get(KEYS.current))) == (Get(KEYS.version(2)),)
    assert protocol.send((await store.get(KEYS.version(2)),)) == (Get(KEYS.current),)
    with pytest.raises(StopIteration) as end:
        protocol.send((await store.get(KEYS.current),))
    assert end.value.value.resource == b"2"
