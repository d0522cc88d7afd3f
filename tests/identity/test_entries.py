"""Every live version's identifiers are in the index before the version is."""

from __future__ import annotations

from msgspec.structs import replace

from fhirstore.commit.drive import drive
from fhirstore.commit.purge import purge
from fhirstore.commit.remembered import RememberedBases
from fhirstore.commit.rules import Rules
from fhirstore.commit.single import Decide, Draft, write
from fhirstore.keyspace import IndexEntry, Keyspace, parse_index_entry
from fhirstore.objects.base import ObjectStore
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.metered import MeteredStore
from tests.commit.writing import context, run

SPACE = Keyspace("")
KEYS = SPACE.resource("Patient", "p")


def carrying(*values: str, size: int = 0) -> Decide:
    """A PUT of a resource with these identifiers, written `value` or `system|value`, and `size` bytes more."""
    parts = [value.rpartition("|") for value in values]
    carried = ",".join(
        f'{{"system":"{system}","value":"{value}"}}' if bar else f'{{"value":"{value}"}}'
        for system, bar, value in parts
    )
    body = f'{{"resourceType":"Patient","identifier":[{carried}],"x":"{"y" * size}"}}'.encode()
    return lambda _: Draft("PUT", lambda _version, _t: body)


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
    hurried = replace(context(store), rules=Rules(window=20, apply=10, transaction_window=20))
    await drive(purge(KEYS, by="x", context=hurried), store)
    assert await entries(store) == []
    await run(store, carrying("1"), keys=KEYS)
    assert [entry.version for entry in await entries(store)] == [4]
