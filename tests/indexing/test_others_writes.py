"""What a process has acknowledged, or updated, though another one wrote it: it is found, and at its place."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fhirstore import FhirStore
from fhirstore.commit.drive import drive
from fhirstore.format.keyspace import Event
from fhirstore.format.record import Record
from fhirstore.indexing.committed import first_times
from fhirstore.indexing.options import IndexOptions
from fhirstore.objects.memory import MemoryStore
from fhirstore.tenancy import PrefixTenancy
from tests.indexing.machines import TENANT, machine, patient

SELDOM = IndexOptions(consistency="local", poll=60.0)


async def test_a_local_search_shows_no_resource_whose_deletion_was_acknowledged() -> None:
    """Also where another process had deleted it before, so that this one made no version."""
    store = MemoryStore()
    here = FhirStore(PrefixTenancy(store, None), index=SELDOM)
    there = FhirStore(PrefixTenancy(store, None))
    try:
        clinic = here.tenant(TENANT)
        await clinic.update(patient("p", "Xu"))
        assert await clinic.count("Patient") == 1
        await there.tenant(TENANT).delete("Patient", "p")
        await clinic.delete("Patient", "p")
        assert await clinic.count("Patient") == 0
    finally:
        for one in (here, there):
            await one.settle()
            await one.aclose()


async def test_what_is_updated_before_the_index_has_heard_of_it_has_the_place_of_its_first_version(
    tmp_path: Path,
) -> None:
    """So that pages can go on at another machine."""
    store = MemoryStore()
    async with (
        machine(store, tmp_path / "one.sqlite", options=SELDOM) as one,
        machine(store, tmp_path / "other.sqlite") as other,
    ):
        await other.clinic.update(patient("zero", "Xu"))
        await one.search("Patient", "")  # the first one looks at the log
        await other.clinic.update(patient("first", "Xu"))
        await asyncio.sleep(0.01)
        await other.clinic.update(patient("second", "Xu"))
        await asyncio.sleep(0.01)
        one.wrote(await one.clinic.update(patient("first", "Yi")))
        await one.search("Patient", "")
        await one.indexer.ensure(strong=True)
        assert await one.search("Patient", "") == ["Patient/zero/1", "Patient/first/2", "Patient/second/1"]
        assert await other.search("Patient", "") == ["Patient/zero/1", "Patient/first/2", "Patient/second/1"]


async def test_a_resource_that_is_met_without_events_has_the_time_of_its_first_version(tmp_path: Path) -> None:
    """As a part of a transaction is, whose own event was listed too early: that version is read."""
    store = MemoryStore()
    async with machine(store, tmp_path / "one.sqlite") as one:
        first = await one.clinic.update(patient("p", "Xu"))
        met = {
            "Patient/p": Record(2, first.last_updated_ms + 500, "op", "PUT", b"{}"),
            "Patient/q": Record(1, 7, "op", "PUT"),
        }
        keys = one.indexer.place.keys
        assert await drive(first_times(keys, [], met, {}), store) == {"Patient/p": first.last_updated_ms}
        assert await drive(first_times(keys, [], met, {"Patient/p": 1}), store) == {}


async def test_the_event_of_an_attempt_that_died_tells_no_time(tmp_path: Path) -> None:
    """While an index is built, the resource may come with a later group, as a part of a transaction."""
    store = MemoryStore()
    async with machine(store, tmp_path / "one.sqlite") as one:
        keys = one.indexer.place.keys
        died = Event(404, "Patient", "d", 1, "PUT", "dead")
        assert await drive(first_times(keys, [died], {}, {}), store) == {}
        later = {"Patient/d": Record(1, 7_295, "op", "PUT", b"{}")}
        assert await drive(first_times(keys, [died], later, {}), store) == {"Patient/d": 7_295}
