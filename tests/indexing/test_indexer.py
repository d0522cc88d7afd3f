"""A search finds what was acknowledged before it, wherever it was written."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from fhirstore.format.record import Record
from fhirstore.indexing import catching_up
from fhirstore.indexing.building import Building
from fhirstore.indexing.status import IndexBehind
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.metered import MeteredStore
from tests.commit.hurried import HandClock
from tests.indexing.machines import machine, patient

RIDS = "SELECT rid, id FROM resource ORDER BY rid"


async def test_another_machine_finds_a_write_at_once(tmp_path: Path) -> None:
    """Creates, updates and deletes of one are seen by the next search of the other."""
    store = MemoryStore()
    async with machine(store, tmp_path / "a") as one, machine(store, tmp_path / "b") as other:
        for number in range(30):
            await one.clinic.update(patient(f"p{number}", f"Name{number}"))
            assert await other.search("Patient", f"family=name{number}") == [f"Patient/p{number}/1"]
            await other.clinic.update(patient(f"p{number}", f"Changed{number}"))
            assert await one.search("Patient", f"family=name{number}") in ([], ["Patient/p3/1"])
            assert await one.search("Patient", f"family=changed{number}&_id=p{number}") == [f"Patient/p{number}/2"]
        await one.clinic.delete("Patient", "p7")
        assert "Patient/p7/2" not in await other.search("Patient", "")
        assert len(await one.search("Patient", "")) == 29


async def test_own_writes_cost_no_get(tmp_path: Path) -> None:
    """A search after own writes sends one LIST; after writes of another machine, one GET for each resource more."""
    store = MeteredStore(MemoryStore())
    async with machine(store, tmp_path / "a") as one, machine(store, tmp_path / "b") as other:
        one.wrote(*[await one.clinic.update(patient(f"p{number}", "Own")) for number in range(5)])
        with store.measure() as own:
            assert len(await one.search("Patient", "family=own")) == 5
        with store.measure() as again:
            assert len(await one.search("Patient", "family=own")) == 5
        with store.measure() as theirs:
            assert len(await other.search("Patient", "family=own")) == 5
    assert own.requests == again.requests == {"LIST": 1}
    assert theirs.requests == {"LIST": 1, "GET": 5}


async def test_a_transaction_is_found_whole(tmp_path: Path) -> None:
    """All of its resources at once, though the other machine reads one after the other."""
    store = MemoryStore()
    entries = [
        {"resource": patient(f"p{n}", "Bundled"), "request": {"method": "PUT", "url": f"Patient/p{n}"}}
        for n in range(9)
    ]
    async with machine(store, tmp_path / "a") as one, machine(store, tmp_path / "b") as other:
        writing = asyncio.create_task(
            one.clinic.process({"resourceType": "Bundle", "type": "transaction", "entry": entries})
        )
        seen = {len(await other.search("Patient", "family=bundled"))}
        while not writing.done():
            seen.add(len(await other.search("Patient", "family=bundled")))
        await writing
        seen.add(len(await other.search("Patient", "family=bundled")))
    assert {9} <= seen <= {0, 9}


async def test_searches_that_wait_share_a_list(tmp_path: Path) -> None:
    """Fifty at a time cost two LISTs: the one under way answers those who asked before it began."""
    store = MeteredStore(MemoryStore())
    async with machine(store, tmp_path / "a") as one:
        await one.clinic.update(patient("p", "Shared"))
        with store.measure() as many:
            found = await asyncio.gather(*[one.search("Patient", "family=shared") for _ in range(50)])
    assert found == [["Patient/p/1"]] * 50
    assert many.requests["LIST"] <= 2


@pytest.mark.parametrize("damage", ["removed", "overwritten", "of another layout"])
async def test_a_damaged_index_is_built_again(damage: str, tmp_path: Path) -> None:
    """By the search that finds it so; it is never answered from what is left."""
    store, path = MemoryStore(), tmp_path / "a"
    async with machine(store, path) as one:
        await one.clinic.update(patient("p", "Kept"))
        assert await one.search("Patient", "family=kept") == ["Patient/p/1"]
        if damage == "removed":
            path.unlink()
        else:
            with sqlite3.connect(path) as connection:
                connection.execute("UPDATE meta SET value = 99 WHERE key = 'layout'")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.close()
        if damage == "overwritten":
            path.write_bytes(b"\x55" * 400_000)
        if damage != "of another layout":
            await one.clinic.update(patient("q", "Kept"))
            assert await one.search("Patient", "family=kept") == ["Patient/p/1", "Patient/q/1"]
    async with machine(store, path) as again:
        assert "Patient/p/1" in await again.search("Patient", "family=kept")


async def test_what_was_made_sure_of_is_in_the_file_that_is_read(tmp_path: Path) -> None:
    """Also where another process has built the file anew in between: that has only what was settled then."""
    store, path = MemoryStore(), tmp_path / "a"
    async with machine(store, path) as one, machine(store, path) as other:
        await one.clinic.update(patient("p", "Young"))
        await one.indexer.ensure()
        path.unlink()
        await other.indexer.build()
        assert await one.indexer.read(lambda reader: reader.rows("SELECT id FROM resource")) == [("p",)]


async def test_an_index_that_is_new_answers_nothing_before_it_is_built(tmp_path: Path) -> None:
    """A search that waits no longer begins the building, and is told so; one that waits finds all."""
    store = MemoryStore()
    async with machine(store, tmp_path / "a", built=False) as one:
        await one.clinic.update(patient("p", "Early"))
        with pytest.raises(IndexBehind, match="is being built"):
            await one.indexer.ensure(within=0)
        with pytest.raises(IndexBehind, match="is being built"):
            await one.indexer.read(lambda reader: reader.seq)
        assert await one.search("Patient", "family=early") == ["Patient/p/1"]


async def test_what_was_purged_is_forgotten(tmp_path: Path) -> None:
    """As soon as a search meets the resource again."""
    store = MemoryStore()
    async with machine(store, tmp_path / "a") as one:
        await one.clinic.update(patient("p", "Purged"))
        await one.search("Patient", "family=purged")
        await one.clinic.upkeep.purge("Patient", "p", by="test")
        await one.clinic.update(patient("p", "Again"))
        assert await one.search("Patient", "") == ["Patient/p/2"]
        assert await one.search("Patient", "family=purged") == []


async def test_a_process_that_lags_far_behind_its_file_goes_on_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process of the machine has applied more than a search looks through; and later nobody has."""
    monkeypatch.setattr(catching_up, "MOST_PENDING", 500)
    clock = HandClock()
    store = MemoryStore(clock)
    async with machine(store, tmp_path / "a") as lagging, machine(store, tmp_path / "a") as other:
        assert await lagging.search("Patient", "") == []
        for applies in (True, False):
            for number in range(1_100):
                await other.clinic.update(patient(f"p{applies}{number}", "Many"))
                clock.ms += 1
            clock.ms += 60_000
            if applies:
                await other.indexer.catch_up()
            await lagging.indexer.ensure(within=20)
        assert await lagging.indexer.read(lambda reader: reader.rows("SELECT count(*) FROM resource")) == [(2_200,)]


async def test_much_that_others_wrote_is_read_as_a_build_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In bounded memory, not all at once; what is not settled is read by the search."""
    monkeypatch.setattr(catching_up, "MOST_READ", 20)
    built: list[None] = []
    run = Building.run

    async def counted(self: Building) -> None:
        built.append(None)
        await run(self)

    clock = HandClock()
    store = MemoryStore(clock)
    async with machine(store, tmp_path / "a") as one, machine(store, tmp_path / "b") as other:
        assert await one.search("Patient", "") == []
        monkeypatch.setattr(Building, "run", counted)
        for number in range(30):
            await other.clinic.update(patient(f"p{number}", "Many"))
        assert [len(await one.search("Patient", "")), len(built)] == [30, 0]
        for number in range(60):
            await other.clinic.update(patient(f"p{number}", "More"))
        clock.ms += 60_000
        assert [len(await one.search("Patient", "family=more")), len(built)] == [60, 1]


async def test_the_order_of_resources_is_the_same_on_all_machines(tmp_path: Path) -> None:
    """Also where one has seen the event of an attempt that is dead, and the other has not."""
    store = MemoryStore()
    async with machine(store, tmp_path / "a") as one:
        await one.search("Patient", "")
        dead = one.indexer.place.keys.resource("Patient", "p").system_event(store.now() - 60_000, 1, "PUT", "dead")
        await store.put(dead, b"")
        await one.clinic.update(patient("q", "First"))
        await one.clinic.update(patient("p", "Second"))
        await one.clinic.update(patient("p", "Changed"))
        order = [f"Patient/{name}" for name in ("q/1", "p/2")]
        assert await one.search("Patient", "") == order
        async with machine(store, tmp_path / "b", built=False) as other:
            assert await other.search("Patient", "") == order
            ids = [await each.indexer.read(lambda reader: reader.rows(RIDS)) for each in (one, other)]
            assert ids[0] == ids[1]


@pytest.mark.parametrize("last", ["update", "delete", "purge", "return"])
async def test_an_index_is_kept_whatever_was_written_last(last: str, tmp_path: Path) -> None:
    """A process that opens it later goes on with it."""
    store, uuids = MemoryStore(), []
    async with machine(store, tmp_path / "a") as one:
        await one.clinic.update(patient("p", "One"))
        await one.clinic.update(patient("q", "One"))
        if last == "delete":
            await one.clinic.delete("Patient", "q")
        elif last == "purge":
            await one.clinic.upkeep.purge("Patient", "q", by="somebody")
        elif last == "return":
            purge = Record(1, store.now() + 1_000, "", "PURGE", floor=1)  # by a clock that is ahead
            one.indexer.wrote("Patient", "q", purge)
            await one.search("Patient", "")
            await one.clinic.update(patient("q", "Two"))
        await one.search("Patient", "")
        uuids.append(await one.indexer.read(lambda reader: reader.uuid))
    async with machine(store, tmp_path / "a", built=False) as again:
        assert "Patient/p/1" in await again.search("Patient", "")
        uuids.append(await again.indexer.read(lambda reader: reader.uuid))
    assert uuids[0] == uuids[1]
