"""A transaction is there as a whole or not at all, whoever looks, and whoever dies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest
from msgspec.structs import replace

from fhirstore.commit.drive import drive
from fhirstore.commit.limits import Limits
from fhirstore.commit.purge import purge
from fhirstore.commit.reading import read, vread
from fhirstore.commit.single import Draft, write
from fhirstore.commit.transaction import Part, transact
from fhirstore.errors import (
    ContentTooLarge,
    InvalidResource,
    ObjectError,
    OutcomeUnknown,
    StoreBusy,
    Unavailable,
    VersionConflict,
    WriteWindowClosed,
)
from fhirstore.format.decision import decode_decision
from fhirstore.format.keyspace import Keyspace, ResourceKeys
from fhirstore.format.record import Record, decode
from fhirstore.objects.base import Condition, PutAnswer, PutRequest, StoredObject, Written
from fhirstore.objects.facts import Facts
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.parallel_puts import put_each
from fhirstore.objects.wrappers.metered import MeteredStore
from fhirstore.upkeep.sweep.run import sweep
from tests.commit.bundling import committed, die_before_record, finished
from tests.commit.hurried import HandClock, hurried, hurry
from tests.commit.writing import context, increment

SPACE = Keyspace("")
LIMITS = Limits()


def resources(count: int) -> list[ResourceKeys]:
    return [SPACE.resource("Basic", f"r{n}") for n in range(count)]


A, B, C = resources(3)


async def numbers(store: MemoryStore | MeteredStore, *all_keys: ResourceKeys) -> list[int]:
    """The version a reader sees of each."""
    found = [await drive(read(keys), store) for keys in all_keys]
    return [0 if record is None else record.version for record in found]


async def keys_in(store: MemoryStore, prefix: str = "") -> list[str]:
    return [item.key for item in (await store.list(prefix)).objects]


@pytest.mark.parametrize("count", [1, 7, 40])
async def test_requests_and_round_trips_are_those_of_the_protocol(count: int) -> None:
    """N GET + 4N + 1 PUT in 3 round trips to the answer, N PUT in one more behind it; no GET for fresh ids."""
    store = MeteredStore(MemoryStore())
    wanted = [(keys, increment()) for keys in resources(count)]
    with store.measure() as until_answered:
        done = await committed(store, wanted, context(store))
    assert (until_answered.requests, until_answered.round_trips) == ({"GET": count, "PUT": 4 * count + 1}, 3)
    assert done.finish is not None
    with store.measure() as behind:
        assert len(await drive(done.finish, store)) == count
    assert (behind.requests, behind.round_trips) == ({"PUT": count}, 1)
    fresh = [Part(SPACE.resource("Basic", f"f{n}"), increment(), fresh=True) for n in range(count)]
    with store.measure() as creating:
        await drive(transact(fresh, context=context(store)), store)
    assert (creating.requests, creating.round_trips) == ({"PUT": 4 * count + 1}, 2)


async def test_no_more_is_held_than_the_rules_say() -> None:
    """A Bundle of few bytes may change large resources; before it takes all memory it is refused, with nothing done."""
    store = MemoryStore()

    def large(current: Record | None) -> Draft:
        return Draft("PUT", lambda version, t: b'{"resourceType":"Basic","x":"%s"}' % (b"x" * 1000))

    for keys in (A, B, C):
        await drive(write(keys, large, context=context(store)), store)
    before = await keys_in(store)
    parts = [Part(keys, increment()) for keys in (A, B, C)]
    two_at_a_time = replace(LIMITS, at_once=2, held=1500)
    with pytest.raises(ContentTooLarge, match="1,500 bytes"):
        await drive(transact(parts, context=context(store, two_at_a_time)), store)
    assert await keys_in(store) == before


async def test_all_versions_carry_one_time_and_one_token() -> None:
    """t is above each prior one, and the same for all; the op token is the id of the transaction's record."""
    clock = HandClock()
    store = MemoryStore(clock)
    for _ in range(3):
        await finished(store, [(B, increment())], context(store))  # the clock stands still: t runs ahead of it
    outcomes = await finished(store, [(A, increment()), (B, increment()), (C, increment())], context(store))
    records = [outcome.record for outcome in outcomes]
    assert [record.version for record in records if record is not None] == [1, 4, 1]
    assert {record.t for record in records if record is not None} == {clock.ms + 3}
    (op,) = {record.op for record in records if record is not None}
    decision = decode_decision((await store.get(SPACE.transaction(op))).body, "")
    assert decision.committed
    assert decision.parts == (("Basic", "r0", 1), ("Basic", "r1", 4), ("Basic", "r2", 1))


async def test_what_one_part_refuses_is_refused_as_a_whole() -> None:
    """If-Match on one of three fails: nothing was written at all."""
    store = MeteredStore(MemoryStore())
    with store.measure() as cost, pytest.raises(VersionConflict):
        await committed(store, [(A, increment()), (B, increment(if_match=7)), (C, increment())], context(store))
    assert cost.requests == {"GET": 3}


async def test_parts_with_nothing_to_do_take_no_part() -> None:
    """A decision for None leaves its resource alone; if all decide so, there is no transaction."""
    store = MemoryStore()
    outcomes = await finished(store, [(A, lambda _: None), (B, increment())], context(store))
    assert [outcome.applied for outcome in outcomes] == [False, True]
    assert await numbers(store, A, B) == [0, 1]
    metered = MeteredStore(store)
    with metered.measure() as cost:
        outcomes = await finished(metered, [(A, lambda _: None), (B, lambda _: None)], context(store))
    assert cost.requests == {"GET": 2}
    assert outcomes[1].before is outcomes[1].record is not None


async def test_a_resource_is_named_once() -> None:
    """Two parts for one resource are refused before anything is read."""
    store = MeteredStore(MemoryStore())
    with pytest.raises(InvalidResource):
        await committed(store, [(A, increment()), (A, increment())], context(store))
    assert store.totals.requests == {}


async def test_an_id_that_is_only_seemingly_fresh_is_read() -> None:
    """A create-once whose id is taken does nothing; one whose decision wants more starts over with a GET."""
    store = MemoryStore()
    await finished(store, [(A, increment())], context(store))
    once = Part(A, lambda current: None if current else Draft("POST", lambda _v, _t: b"1"), fresh=True)
    done = await drive(transact([once, Part(B, increment())], context=context(store)), store)
    assert [outcome.applied for outcome in done.results] == [False, True]
    assert await numbers(store, A, B) == [1, 1]


async def test_readers_see_all_of_it_from_the_commit_point_on() -> None:
    """Nothing is final yet, and everybody reads the new versions; before, everybody reads the old ones."""
    store = MemoryStore()
    wanted = [(A, increment()), (B, increment())]
    await finished(store, wanted, context(store))
    await die_before_record(store, wanted, context(store))
    assert await numbers(store, A, B) == [1, 1]
    assert await drive(vread(A, 2, limits=LIMITS), store) is None
    await finished(store, [(C, increment())], context(store))
    store = MemoryStore()
    await committed(store, wanted, context(store))
    assert await numbers(store, A, B) == [1, 1]
    seen = await drive(vread(B, 1, limits=LIMITS), store)
    assert seen is not None
    assert decode((await store.get(B.current)).body, "").version == 0, "nobody has made it final"


async def test_reading_through_an_intent_costs_one_or_two_round_trips_more() -> None:
    """Committed: GET, then record and slot in parallel; undecided: GET current once more."""
    store = MeteredStore(MemoryStore())
    await committed(store, [(A, increment()), (B, increment())], context(store))
    with store.measure() as through:
        await drive(read(A), store)
    assert (through.requests, through.round_trips) == ({"GET": 3}, 2)
    await die_before_record(store, [(C, increment())], context(store))
    with store.measure() as undecided:
        await drive(read(C), store)
    assert (undecided.requests, undecided.round_trips) == ({"GET": 4}, 3)


async def test_a_writer_makes_a_committed_one_final_and_goes_on() -> None:
    """The next version is built on the transaction's, whether anybody had made that final or not."""
    store = MemoryStore()
    await committed(store, [(A, increment()), (B, increment())], context(store))
    outcome = await drive(write(A, increment(), context=context(store)), store)
    assert outcome.record is not None
    assert (outcome.record.version, outcome.record.resource) == (2, b"2")
    assert await numbers(store, A, B) == [2, 1]


async def test_an_abandoned_one_is_decided_by_the_next_writer() -> None:
    """It waits as long as the limits say, aborts it, rolls back, and writes; readers never waited."""
    clock = HandClock()
    store = MemoryStore(clock)
    await die_before_record(store, [(A, increment()), (B, increment())], context(store))
    began = clock.ms
    outcome = await hurry(write(A, increment(), context=context(store)), store, clock)
    assert outcome.record is not None
    assert (outcome.record.version, outcome.record.resource) == (1, b"1")
    assert LIMITS.patience <= clock.ms - began < 5 * LIMITS.patience
    (record,) = await keys_in(store, "tx/")
    assert not decode_decision((await store.get(record)).body, "").committed
    assert await numbers(store, A, B) == [1, 0]
    began = clock.ms
    await hurry(write(B, increment(), context=context(store)), store, clock)
    assert clock.ms - began < LIMITS.patience, "it is decided: nobody waits again"


async def test_one_whose_window_is_over_is_not_waited_for() -> None:
    """Nothing of it can be committed any more, so the next writer aborts it at once."""
    clock = HandClock()
    store = MemoryStore(clock)
    await die_before_record(store, [(A, increment())], context(store))
    clock.ms += LIMITS.settled + 1
    began = clock.ms
    await hurry(write(A, increment(), context=context(store)), store, clock)
    assert clock.ms - began < 100


async def test_crossing_transactions_all_end() -> None:
    """Over the same resources in different orders, with single writes between: no deadlock, and no update is lost."""
    store = MemoryStore()
    orders: Sequence[Sequence[ResourceKeys]] = ((A, B, C), (C, B, A), (B, A, C), (C, A, B))

    async def one(order: Sequence[ResourceKeys]) -> None:
        for _ in range(3):
            await finished(store, [(keys, increment()) for keys in order], context(store))

    async def single(keys: ResourceKeys) -> None:
        for _ in range(3):
            await drive(write(keys, increment(), context=context(store)), store)

    await asyncio.gather(*(one(order) for order in orders), *(single(keys) for keys in (A, B, C)))
    assert await numbers(store, A, B, C) == [15, 15, 15]
    for keys in (A, B, C):
        record = await drive(read(keys), store)
        assert record is not None
        assert record.resource == b"15"


class Failing(MemoryStore):
    """A memory store whose first PUT of a chosen kind of key fails as the test says, applied or not."""

    def __init__(self, chosen: Callable[[str], bool], error: ObjectError, *, applies: bool) -> None:
        super().__init__()
        self.chosen: Callable[[str], bool] | None = chosen
        self.error = error
        self.applies = applies

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        condition: Condition | None = None,
        expires: int | None = None,
        facts: Facts | None = None,
    ) -> Written:
        if self.chosen is None or not self.chosen(key):
            return await super().put(key, body, condition=condition, expires=expires, facts=facts)
        self.chosen = None
        if self.applies:
            await super().put(key, body, condition=condition, expires=expires, facts=facts)
        raise self.error

    async def put_many(self, puts: Sequence[PutRequest]) -> Sequence[PutAnswer]:
        return await put_each(self, puts)


@pytest.mark.parametrize("error", [OutcomeUnknown(), StoreBusy()], ids=["unknown", "busy"])
@pytest.mark.parametrize("applies", [True, False], ids=["applied", "lost"])
@pytest.mark.parametrize("part", ["current.json", "_history/", "history/type/", "history/system/", "tx/"])
async def test_lost_answers_are_settled_by_reading_back(part: str, applies: bool, error: ObjectError) -> None:
    """Whichever PUT fails, applied or not: it is committed once, and final in the end."""
    store = Failing(lambda key: part in key, error, applies=applies)
    outcomes = await finished(store, [(A, increment()), (B, increment())], context(store))
    assert [outcome.applied for outcome in outcomes] == [True, True]
    assert await numbers(store, A, B) == [1, 1]
    assert len(await keys_in(store, "tx/")) == 1
    assert len(await keys_in(store, "history/system/")) == 2


async def test_a_window_that_closed_too_early_costs_an_attempt() -> None:
    """A PUT that comes too late rolls everything back, and the next attempt commits."""
    store = Failing(lambda key: "_history/" in key, WriteWindowClosed(), applies=False)
    await finished(store, [(A, increment()), (B, increment())], context(store))
    assert await numbers(store, A, B) == [1, 1]


class Crowded(MemoryStore):
    """Counts what is in flight."""

    most = 0

    async def get(self, key: str) -> StoredObject:
        self.flying += 1
        self.most = max(self.most, self.flying)
        await asyncio.sleep(0)
        self.flying -= 1
        return await super().get(key)

    flying = 0

    async def put_many(self, puts: Sequence[PutRequest]) -> Sequence[PutAnswer]:
        self.most = max(self.most, len(puts))
        return await super().put_many(puts)


async def test_five_thousand_parts_go_out_a_few_at_a_time() -> None:
    """No more requests are in flight than the limits allow; still all versions come to be at once."""
    store = Crowded()
    many = resources(5_000)
    outcomes = await finished(store, [(keys, increment()) for keys in many], context(store))
    assert sum(outcome.applied for outcome in outcomes) == 5_000
    assert 200 < store.most <= LIMITS.at_once
    assert await numbers(store, many[0], many[-1]) == [1, 1]


async def test_a_purge_takes_a_transactions_version_with_it() -> None:
    """It makes it final first, and removes version and events; the other parts stay."""
    clock = HandClock()
    store = MemoryStore(clock)
    await committed(store, [(A, increment()), (B, increment())], context(store))
    began = clock.ms
    assert (await hurry(purge(A, by="x", context=context(store)), store, clock)).versions == 1
    assert clock.ms - began > LIMITS.transaction_window
    assert await numbers(store, A, B) == [0, 1]
    assert not [key for key in await keys_in(store, "history/") if "_r0_" in key]


@pytest.mark.parametrize("committed_", [True, False], ids=["committed", "abandoned"])
async def test_a_sweep_clears_what_is_left(committed_: bool) -> None:
    """Old intents go; after a day the record goes as well, and versions stay as they are."""
    clock = HandClock()
    store = MemoryStore(clock)
    wanted = [(A, increment()), (B, increment())]
    if committed_:
        await committed(store, wanted, context(store))
    else:
        await die_before_record(store, wanted, context(store))
    clock.ms += LIMITS.settled + 2_000
    report = await drive(hurried(sweep(SPACE, context=context(store)), clock), store)
    assert (report.left, report.transactions, report.orphans) == (0, 0, 0 if committed_ else 2)
    for keys in (A, B):
        assert decode((await store.get(keys.current)).body, "").intent is None
    assert len(await keys_in(store, "tx/")) == 1
    clock.ms += LIMITS.keep_transactions
    report = await drive(hurried(sweep(SPACE, context=context(store)), clock), store)
    assert report.transactions == 1
    assert await keys_in(store, "tx/") == []
    assert await numbers(store, A, B) == ([1, 1] if committed_ else [0, 0])


async def test_a_record_stays_while_a_version_is_not_final() -> None:
    """A sweep makes it final first; where it cannot, the record stays for fsck to judge."""
    clock = HandClock()
    store = MemoryStore(clock)
    await committed(store, [(A, increment()), (B, increment())], context(store))
    clock.ms += LIMITS.keep_transactions + 1_000
    await store.put(A.current, b"damaged")
    report = await drive(hurried(sweep(SPACE, context=context(store)), clock), store)
    assert report.transactions == 0
    assert len(await keys_in(store, "tx/")) == 1


async def test_contents_are_read_as_they_were_decided() -> None:
    """What a part decides is decided on what a reader sees, an unfinished transaction's version included."""
    store = MemoryStore()
    seen: list[Record | None] = []

    def watch(current: Record | None) -> Draft:
        seen.append(current)
        return Draft("PUT", lambda _v, _t: b"9")

    await committed(store, [(A, increment()), (B, increment())], context(store))
    await finished(store, [(A, watch), (C, watch)], context(store))
    assert [record and record.resource for record in seen] == [b"1", None]
    limits = replace(LIMITS, attempts=1)
    await finished(store, [(A, watch)], context(store, limits))
    assert await numbers(store, A) == [3]


class Slow(MemoryStore):
    """Every batch of PUTs takes half a window."""

    def __init__(self, clock: HandClock) -> None:
        super().__init__(clock)
        self.clock = clock
        self.batches = 0

    async def put_many(self, puts: Sequence[PutRequest]) -> Sequence[PutAnswer]:
        self.batches += 1
        self.clock.ms += LIMITS.transaction_window // 2
        return await super().put_many(puts)


async def test_one_that_takes_longer_than_its_window_is_given_up() -> None:
    """It does not start over again and again; it says what to do, and leaves nothing that anybody sees."""
    clock = HandClock()
    store = Slow(clock)
    many = resources(400)
    with pytest.raises(Unavailable, match="send less"):
        await hurry(transact([Part(keys, increment()) for keys in many], context=context(store)), store, clock)
    assert store.batches < 40
    assert await numbers(store, many[0], many[-1]) == [0, 0]
    assert await keys_in(store, "tx/") == []
