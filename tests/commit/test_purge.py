"""A purge removes every version and event of a resource, once and for all, whatever happens meanwhile."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from msgspec.structs import replace

from fhirstore.commit.drive import drive
from fhirstore.commit.limits import Limits
from fhirstore.commit.messages import Batch, Get, Protocol, Replies, Unknown
from fhirstore.commit.purge import Purged, purge
from fhirstore.commit.reading import look, read, vread
from fhirstore.commit.remembered import RememberedBases
from fhirstore.commit.single import write
from fhirstore.errors import (
    ConditionalConflict,
    ObjectError,
    OutcomeUnknown,
    PreconditionFailed,
    StoreBusy,
    WriteOutcomeUnknown,
)
from fhirstore.format.record import decode
from fhirstore.history.instance import instance_page
from fhirstore.history.page import HistoryQuery
from fhirstore.objects.base import Condition, Written
from fhirstore.objects.facts import Facts
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.metered import MeteredStore
from server.settings import Settings
from tests.commit.hurried import HandClock, hurried, hurry
from tests.commit.writing import KEYS, context, die_before, increment, once, run
from tests.server.serving import FHIR_JSON, serving

SETTLED = Limits().settled + 1_000


async def _written(versions: int, store: MemoryStore, clock: HandClock) -> None:
    for _ in range(versions):
        await run(store, increment())
    clock.ms += SETTLED


async def _keys(store: MemoryStore, prefix: str = "") -> list[str]:
    return [item.key for item in (await store.list(prefix)).objects]


async def _purge(store: MemoryStore, clock: HandClock) -> Purged:
    return await hurry(purge(KEYS, by="admin", context=context(store)), store, clock)


async def test_only_the_stub_and_the_audit_line_stay() -> None:
    """Versions and events are gone; readers see nothing; the audit line says who, what and how many."""
    clock = HandClock()
    store = MemoryStore(clock)
    await _written(3, store, clock)
    assert await _purge(store, clock) == Purged(3, 3)
    audit, stub = await _keys(store)
    assert stub == KEYS.current
    assert audit.startswith("audit/")
    line = msgspec.json.decode((await store.get(audit)).body)
    assert line == {
        "who": "admin",
        "action": "purge",
        "type": "Basic",
        "id": "counter",
        "versions": 3,
        "t": int(audit[6:19]),
    }
    assert await drive(read(KEYS), store) is None
    assert await drive(vread(KEYS, 3, limits=Limits()), store) is None
    assert b"resource" not in (await store.get(KEYS.current)).body


async def test_numbers_are_not_used_again() -> None:
    """The next write after a purge makes version floor + 1, and the floor stays through further writes and purges."""
    clock = HandClock()
    store = MemoryStore(clock)
    await _written(2, store, clock)
    await _purge(store, clock)
    assert [(await run(store, increment())).record for _ in range(2)][-1].version == 4  # type: ignore[union-attr] # a write makes a record
    assert await drive(vread(KEYS, 2, limits=Limits()), store) is None
    assert await drive(vread(KEYS, 3, limits=Limits()), store) is not None
    assert await _purge(store, clock) == Purged(2, 2)
    base, _ = await drive(look(KEYS), store)
    assert base.record is not None
    assert (base.record.version, base.record.floor, base.record.method) == (4, 4, "PURGE")


async def test_nothing_to_purge_is_no_error_and_leaves_no_trace() -> None:
    """An unknown id: one GET. A purged one: a GET and a LIST; no second audit line."""
    clock = HandClock()
    store = MeteredStore(MemoryStore(clock))
    with store.measure() as unknown:
        assert await drive(purge(KEYS, by="admin", context=context(store)), store) == Purged(0, 0)
    assert unknown.requests == {"GET": 1}
    await run(store, increment())
    clock.ms += SETTLED
    with store.measure() as first:
        assert await drive(purge(KEYS, by="admin", context=context(store)), store) == Purged(1, 1)
    assert first.requests == {"GET": 2, "PUT": 2, "LIST": 1, "DELETE": 2}
    clock.ms += SETTLED
    with store.measure() as again:
        assert await drive(purge(KEYS, by="admin", context=context(store)), store) == Purged(0, 0)
    assert again.requests == {"GET": 1, "LIST": 1}


async def test_many_versions_go_in_batches() -> None:
    """Requests grow with batches of 50 versions; each version is read once, to find its events."""
    clock = HandClock()
    inner = MemoryStore(clock)
    await _written(120, inner, clock)
    store = MeteredStore(inner)
    with store.measure() as cost:
        assert await drive(purge(KEYS, by="admin", context=context(store)), store) == Purged(120, 120)
    assert cost.requests == {"GET": 121, "PUT": 2, "LIST": 1, "DELETE": 6}
    assert len(await _keys(inner)) == 2


async def test_a_purge_that_dies_anywhere_is_finished_by_the_next() -> None:
    """Killed at each of its requests in turn: nothing is purged, or everything is with the next try."""
    killed_at = 0
    while True:
        clock = HandClock()
        store = MemoryStore(clock)
        await _written(3, store, clock)
        finished = await drive(_killed(hurried(purge(KEYS, by="a", context=context(store)), clock), killed_at), store)
        seen = await drive(read(KEYS), store)
        assert seen is None or seen.version == 3
        await _purge(store, clock)
        left = [key for key in await _keys(store) if not key.startswith("audit/")]
        assert left == [KEYS.current]
        if finished:
            break
        killed_at += 1
    assert killed_at == 7  # GET, audit, commit, LIST, GETs, DELETE events, DELETE versions


def _killed(protocol: Protocol[Purged], at: int) -> Protocol[bool]:
    """Die after `at` batches; True when the protocol ended before."""
    replies: Replies | None = None
    for _ in range(at):
        try:
            batch: Batch = next(protocol) if replies is None else protocol.send(replies)
        except StopIteration:
            return True
        replies = yield batch
    try:
        _ = next(protocol) if replies is None else protocol.send(replies)
    except StopIteration:
        return True
    protocol.close()
    return False


class Answering(MemoryStore):
    """A memory store that answers the next PUT of current with an error, applied or not."""

    def __init__(self, clock: HandClock) -> None:
        super().__init__(clock)
        self.error: ObjectError | None = None
        self.applies = False

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        condition: Condition | None = None,
        expires: int | None = None,
        facts: Facts | None = None,
    ) -> Written:
        error = self.error
        if key != KEYS.current or error is None:
            return await super().put(key, body, condition=condition, expires=expires, facts=facts)
        self.error = None
        if self.applies:
            await super().put(key, body, condition=condition, expires=expires, facts=facts)
        raise error


@pytest.mark.parametrize("applies", [True, False])
@pytest.mark.parametrize("error", [OutcomeUnknown("k"), PreconditionFailed("k"), StoreBusy("k"), ConditionalConflict()])
async def test_a_lost_answer_at_the_commit_point_is_settled_by_reading_back(applies: bool, error: ObjectError) -> None:
    """Whatever the store said, the resource is purged once and completely."""
    clock = HandClock()
    store = Answering(clock)
    await _written(2, store, clock)
    store.error, store.applies = error, applies and isinstance(error, OutcomeUnknown | PreconditionFailed)
    assert await _purge(store, clock) == Purged(2, 2)
    assert len(await _keys(store, "resources/")) == 1


async def test_writers_and_purges_that_race_each_win_or_start_over() -> None:
    """Four writers and two purges at once: every write is a version of its own, every purge takes all before it."""
    store = MemoryStore()
    limits = Limits(window=200, apply=50)
    await run(store, increment())
    purges = [drive(purge(KEYS, by="admin", context=context(store, limits)), store) for _ in range(2)]
    writes = [run(store, increment()) for _ in range(4)]
    outcomes, _ = await asyncio.gather(asyncio.gather(*writes), asyncio.gather(*purges))
    versions = [outcome.record.version for outcome in outcomes if outcome.record]
    assert sorted(versions) == [2, 3, 4, 5]
    base, _ = await drive(look(KEYS), store)
    assert base.record is not None
    numbers = [int(key.rpartition("/")[2][:-5]) for key in await _keys(store, "resources/") if "_history" in key]
    assert sorted(numbers) == list(range(base.record.floor + 1, 6))
    assert len(await _keys(store, "history/")) >= 2 * (5 - base.record.floor)


async def test_versions_fresh_enough_to_be_written_again_are_waited_for() -> None:
    """A late duplicate of the version's own PUT comes before the removal, or is refused by its window."""
    clock = HandClock()
    store = MemoryStore(clock)
    outcome = await run(store, increment())
    assert outcome.record is not None
    await _purge(store, clock)
    assert clock.ms > outcome.record.t + Limits().settled_for(outcome.record)


async def test_a_sweepers_hold_stays_in_force_and_a_remembered_base_respects_it() -> None:
    """A purge under a hold carries it on; a write on a remembered base that is held asks the store's date first."""
    clock = HandClock()
    store = MemoryStore(clock)
    await _written(1, store, clock)
    body = decode((await store.get(KEYS.current)).body, "k")
    until = clock.ms + 5_000
    held = replace(body, hold=until)
    await store.put(KEYS.current, held.encode())
    await _purge(store, clock)
    base, _ = await drive(look(KEYS), store)
    assert base.record is not None
    assert base.record.hold == until
    assert base.etag is not None
    remembered = RememberedBases()
    remembered.remember("t", KEYS.current, base.record, base.etag)
    guess = remembered.get("t", KEYS.current)
    await hurry(write(KEYS, increment(), context=context(store), remembered=guess), store, clock)
    assert clock.ms > until


async def test_the_slot_of_a_dead_attempt_is_not_taken_for_a_version() -> None:
    """An orphan above the purged versions stays for the sweeper, and the next writer gets past it."""
    clock = HandClock()
    store = MemoryStore(clock)
    await _written(2, store, clock)
    await die_before(store, KEYS.current, increment())
    assert await _purge(store, clock) == Purged(2, 2)
    outcome = await hurry(write(KEYS, increment(), context=context(store)), store, clock)
    assert outcome.record is not None
    assert outcome.record.version == 3


async def _written_into_its_slot_after_a_purge(store: MemoryStore, clock: HandClock) -> None:
    """All is purged, and then a dead attempt's late PUT lands where version 1 was."""
    first = decode((await store.get(KEYS.version(1))).body, "k")
    await _purge(store, clock)
    await store.put(KEYS.version(1), replace(first, op="another", t=clock.ms).encode())


async def test_what_appears_in_a_slot_after_a_purge_is_not_taken_for_the_version() -> None:
    """A vread's answers lie a purge and a dead attempt's late PUT apart: `current` from before, the slot from after."""
    clock = HandClock()
    store = MemoryStore(clock)
    await _written(3, store, clock)
    clock.ms += SETTLED
    protocol = vread(KEYS, 1, limits=Limits())
    next(protocol)
    current = await store.get(KEYS.current)
    await _written_into_its_slot_after_a_purge(store, clock)
    clock.ms += SETTLED
    assert protocol.send((await store.get(KEYS.version(1)), current)) == (Get(KEYS.current),)
    with pytest.raises(StopIteration) as end:
        protocol.send((await store.get(KEYS.current),))
    assert end.value.value is None


async def test_a_history_over_a_purge_does_not_show_what_appears_in_a_slot_after_it() -> None:
    """The same for a page of the resource's versions, which are read after `current`."""
    clock = HandClock()
    store = MemoryStore(clock)
    await _written(3, store, clock)
    clock.ms += SETTLED
    protocol = instance_page(KEYS, HistoryQuery(), None, context=context(store))
    next(protocol)
    slots = protocol.send((await store.get(KEYS.current),))
    assert slots == (Get(KEYS.version(2)), Get(KEYS.version(1)))
    second = await store.get(KEYS.version(2))
    await _written_into_its_slot_after_a_purge(store, clock)
    assert protocol.send((second, await store.get(KEYS.version(1)))) == (Get(KEYS.current),)
    with pytest.raises(StopIteration) as end:
        protocol.send((await store.get(KEYS.current),))
    assert end.value.value.versions == ()


async def test_nobody_takes_a_committed_write_for_lost_because_of_what_appears_in_its_slot_after_a_purge() -> None:
    """Its answer was lost, others went on, all was purged, and a dead attempt took the slot: it is not done again."""
    clock = HandClock()
    store = MemoryStore(clock)
    protocol = write(KEYS, increment(), context=context(store))
    puts = protocol.send(await drive(once(next(protocol)), store))
    replies = await drive(once(puts), store)
    assert all(isinstance(reply, Written) for reply in replies)
    await _written(2, store, clock)
    assert protocol.send((*replies[:-1], Unknown())) == (Get(KEYS.current),)
    assert protocol.send((await store.get(KEYS.current),)) == (Get(KEYS.version(1)),)
    await _written_into_its_slot_after_a_purge(store, clock)
    assert protocol.send((await store.get(KEYS.version(1)),)) == (Get(KEYS.current),)
    with pytest.raises(WriteOutcomeUnknown):
        protocol.send((await store.get(KEYS.current),))


async def test_the_operation_is_off_unless_the_setting_says_so() -> None:
    """501 names the setting; the resource stays."""
    async with serving() as served:
        await served.client.put("/fhir/Patient/p", content=b'{"resourceType":"Patient","id":"p"}', headers=FHIR_JSON)
        answer = await served.client.post("/fhir/Patient/p/$purge")
        assert answer.status_code == 501
        assert "FHIRSTORE_ENABLE_PURGE" in answer.json()["issue"][0]["diagnostics"]
        assert (await served.client.get("/fhir/Patient/p")).status_code == 200


async def test_the_operation_answers_with_the_number_of_versions() -> None:
    """$purge: 200, an OperationOutcome; then 404; then version 3 is the next."""
    clock = HandClock()
    body = b'{"resourceType":"Patient","id":"p"}'
    async with serving(Settings(enable_purge=True), MemoryStore(clock)) as served:
        for _ in range(2):
            await served.client.put("/fhir/Patient/p", content=body, headers=FHIR_JSON)
        clock.ms += SETTLED
        answer = await served.client.post("/fhir/Patient/p/$purge")
        assert answer.status_code == 200
        issue = answer.json()["issue"][0]
        assert (issue["severity"], issue["code"], issue["diagnostics"]) == (
            "information",
            "informational",
            "2 versions purged",
        )
        for path in ("/fhir/Patient/p", "/fhir/Patient/p/_history/1", "/fhir/Patient/p/_history/2"):
            assert (await served.client.get(path)).status_code == 404
        clock.ms += SETTLED
        assert "Nothing" in (await served.client.post("/fhir/Patient/p/$purge")).json()["issue"][0]["diagnostics"]
        again = await served.client.put("/fhir/Patient/p", content=body, headers=FHIR_JSON)
        assert (again.status_code, again.headers["etag"]) == (201, 'W/"3"')
