"""Every live version's identifiers are in the index before the version is."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from fhirstore.commit.drive import drive
from fhirstore.commit.limits import Limits
from fhirstore.commit.purge import purge
from fhirstore.commit.remembered import RememberedBases
from fhirstore.commit.single import Draft, write
from fhirstore.format.keyspace import IndexEntry, Keyspace, parse_index_entry
from fhirstore.index.names import names
from fhirstore.objects.base import ObjectStore
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.metered import MeteredStore
from fhirstore.search.conditional.candidates import find_or_be_sure
from fhirstore.search.conditional.condition import parse_condition
from tests.commit.writing import context, once, run
from tests.interactions.carrying import carrying

SPACE = Keyspace("")
KEYS = SPACE.resource("Patient", "p")


async def entries(store: ObjectStore) -> list[IndexEntry]:
    """All there are."""
    return [parse_index_entry(SPACE, item.key) for item in (await store.list(SPACE.identity())).objects]


async def test_an_identifier_costs_one_put_when_it_is_new() -> None:
    """A create writes one entry per identifier, beside slot and events; an update only those that it adds."""
    store = MeteredStore(MemoryStore())
    with store.measure() as create:
        await run(store, carrying("1", "2"), keys=KEYS, fresh=True)
    with store.measure() as unchanged:
        await run(store, carrying("2", "1"), keys=KEYS)
    with store.measure() as added:
        await run(store, carrying("1", "3"), keys=KEYS)
    assert (create.requests["PUT"], create.round_trips) == (6, 2)
    assert (unchanged.requests["PUT"], unchanged.round_trips) == (4, 3)
    assert (added.requests["PUT"], added.round_trips) == (5, 3)
    assert sorted(entry.version for entry in await entries(store)) == [1, 1, 3]


async def test_a_system_costs_one_put_when_it_is_new() -> None:
    """Beside those of its identifiers, however many there are of it; dropped and taken up again, it is new again."""
    store = MeteredStore(MemoryStore())
    with store.measure() as create:
        await run(store, carrying("s|1", "s|2", "t|1"), keys=KEYS, fresh=True)
    with store.measure() as same_systems:
        await run(store, carrying("s|3", "t|1"), keys=KEYS)
    await run(store, carrying("t|1"), keys=KEYS)
    with store.measure() as again:
        await run(store, carrying("t|1", "s|3"), keys=KEYS)
    assert (create.requests["PUT"], create.round_trips) == (4 + 3 + 2, 2)
    assert (same_systems.requests["PUT"], same_systems.round_trips) == (4 + 1, 3)
    assert (again.requests["PUT"], again.round_trips) == (4 + 1 + 1, 3)


async def test_what_a_deletion_dropped_is_written_again() -> None:
    """After a tombstone all identifiers are new."""
    store = MemoryStore()
    await run(store, carrying("1"), keys=KEYS, fresh=True)
    await run(store, lambda _: Draft("DELETE", None), keys=KEYS)
    await run(store, carrying("1"), keys=KEYS)
    assert sorted(entry.version for entry in await entries(store)) == [1, 3]


async def test_a_remembered_base_knows_its_identifiers() -> None:
    """An update that skips its GET writes no entry again, however large the resource is."""
    store, bases = MeteredStore(MemoryStore()), RememberedBases()
    outcome = await run(store, carrying("1", size=10_000), keys=KEYS, fresh=True)
    assert outcome.record is not None
    assert outcome.etag is not None
    bases.remember("t", KEYS.current, outcome.record, outcome.etag)
    base = bases.get("t", KEYS.current)
    with store.measure() as update:
        await drive(write(KEYS, carrying("1", "2"), context=context(store), remembered=base), store)
    assert update.requests == {"PUT": 5}


async def test_a_purge_takes_the_entries_with_it() -> None:
    """Nothing in the index tells any more which identifiers a purged resource had."""
    store = MemoryStore()
    await run(store, carrying("1", "s|2"), keys=KEYS, fresh=True)
    await run(store, carrying("s|3"), keys=KEYS)
    await run(store, carrying("1"), keys=KEYS)
    hurried = replace(context(store), limits=Limits(window=20, apply=10, transaction_window=20))
    await drive(purge(KEYS, by="x", context=hurried), store)
    assert await entries(store) == []
    await run(store, carrying("1"), keys=KEYS)
    assert [entry.version for entry in await entries(store)] == [4]


async def test_an_identifier_that_moves_while_one_looks_is_found() -> None:
    """It was at one resource when the index was listed, and is at another when that one is read: one looks again."""
    store = MemoryStore()
    p, q = SPACE.resource("Patient", "p"), SPACE.resource("Patient", "q")
    await run(store, carrying("s|1"), keys=p)
    looking = find_or_be_sure(SPACE, parse_condition("Patient", "identifier=s|1"))
    batch = next(looking)
    moved = False
    with pytest.raises(StopIteration) as end:
        while True:
            replies = await drive(once(batch), store)
            if not moved:  # after the LIST
                await run(store, carrying("s|1"), keys=q)
                await run(store, carrying(), keys=p)
                moved = True
            batch = looking.send(replies)
    assert [match.keys.id for match in end.value.value] == ["q"]


async def test_a_second_look_finds_nothing_new_and_is_the_last() -> None:
    """A resource that carries it no more costs one LIST more; one that may be about to, a GET as well."""
    store = MeteredStore(MemoryStore())
    p = SPACE.resource("Patient", "p")
    await run(store, carrying("s|1"), keys=p)
    await run(store, carrying("s|2"), keys=p)
    looking = parse_condition("Patient", "identifier=s|1")
    with store.measure() as gone:
        assert await drive(find_or_be_sure(SPACE, looking), store) == []
    with store.measure() as clean:
        assert await drive(find_or_be_sure(SPACE, looking), store) == []
    assert (gone.requests, clean.requests) == ({"LIST": 2, "GET": 1, "DELETE": 1}, {"LIST": 1})
    (name, _) = names("Patient", b'{"identifier":{"system":"s","value":"1"}}')
    await store.put(p.index_entry(name, 3), b"")  # of an attempt that may be alive
    with store.measure() as coming:
        assert await drive(find_or_be_sure(SPACE, looking), store) == []
    assert coming.requests == {"LIST": 2, "GET": 2}
