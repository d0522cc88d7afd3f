"""The comparison of an index with the bucket finds whatever differs, and nothing that others write meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fhirstore.index.local import compare
from fhirstore.indexing.verify import NOT_IN_BUCKET, verify
from fhirstore.objects.memory import MemoryStore
from tests.indexing.machines import Machine, machine, patient


async def filled(one: Machine) -> None:
    """Some resources of two types, one of them deleted."""
    for number in range(12):
        birth = {"birthDate": f"1990-01-{number + 1:02}", "gender": "female", "active": True}
        one.wrote(await one.clinic.update(patient(f"p{number}", f"Name{number}", **birth)))
    await one.clinic.update({"resourceType": "Basic", "id": "b", "code": {"coding": [{"system": "s", "code": "c"}]}})
    await one.clinic.delete("Patient", "p0")
    await one.indexer.ensure()


async def test_an_index_that_is_right_has_no_differences(tmp_path: Path) -> None:
    """Deleted and purged resources are none."""
    async with machine(MemoryStore(), tmp_path / "a") as one:
        await filled(one)
        await one.clinic.upkeep.purge("Patient", "p1", by="test")
        report = await verify(one.indexer)
        assert report.ok
        assert report.resources == 11
        assert report.as_json()["differences"] == []


DAMAGE: dict[str, tuple[str, str]] = {
    "a resource is missing": ("DELETE FROM resource WHERE id = 'p5'", compare.MISSING),
    "a value is missing": (
        "DELETE FROM date WHERE rid = (SELECT rid FROM resource WHERE id = 'p5')",
        compare.LACKS,
    ),
    "a value is too much": (
        "INSERT INTO string SELECT pid, 'other', 1, rid, since FROM string"
        " WHERE rid = (SELECT rid FROM resource WHERE id = 'p5') LIMIT 1",
        compare.TOO_MANY,
    ),
    "another version": ("UPDATE resource SET version = 7 WHERE id = 'p5'", compare.OTHER_VERSION),
    "another time": ("UPDATE resource SET t = t + 1 WHERE id = 'p5'", compare.OTHER_TIME),
    "a token is not in its table": (
        "DELETE FROM token WHERE rid = (SELECT rid FROM resource WHERE id = 'p5')",
        compare.TORN,
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
async def test_what_differs_is_named(damage: str, tmp_path: Path) -> None:
    """With what is wrong with it."""
    statement, what = DAMAGE[damage]
    async with machine(MemoryStore(), tmp_path / "a") as one:
        await filled(one)
        file = one.indexer.opened()
        file._write(lambda: file._writer.execute(statement))
        report = await verify(one.indexer)
        assert [(found.name, found.what) for found in report.differences] == [("Patient/p5", what)]
        assert not report.ok
        assert report.differing == 1


@pytest.mark.parametrize("whole_type", [False, True])
async def test_what_only_the_index_has_is_named(whole_type: bool, tmp_path: Path) -> None:
    """As when the bucket was emptied below it."""
    store = MemoryStore()
    async with machine(store, tmp_path / "a") as one:
        await filled(one)
        prefix = "clinic/resources/Basic/" if whole_type else "clinic/resources/Patient/p5/"
        await store.delete_many([item.key for item in (await store.list(prefix)).objects])
        report = await verify(one.indexer)
        name = "Basic/b" if whole_type else "Patient/p5"
        assert [(found.name, found.what) for found in report.differences] == [(name, NOT_IN_BUCKET)]


async def test_what_others_write_meanwhile_is_no_difference(tmp_path: Path) -> None:
    """Creates, updates and deletes by another machine, all the time."""
    store = MemoryStore()
    async with machine(store, tmp_path / "a") as one, machine(store, tmp_path / "b") as other:
        await filled(one)

        async def write() -> None:
            for number in range(10_000):
                await other.clinic.update(patient(f"p{2 + number % 12}", f"Other{number}"))
                if number % 5 == 0:
                    await other.clinic.delete("Patient", f"p{2 + number % 9}")

        writing = asyncio.create_task(write())
        for _ in range(2):
            assert (await verify(one.indexer)).differences == []
        writing.cancel()


async def test_fsck_compares_the_index_and_has_it_built_again(tmp_path: Path) -> None:
    """One finding for each resource; after a repair there is none, and searches find all."""
    from fhirstore import FhirStore, Thoroughness

    async with FhirStore.open(f"file:{tmp_path / 'data'}") as store:
        clinic = store.tenant("default")
        for number in range(4):
            await clinic.update(patient(f"p{number}", "Found"))
        assert (await clinic.upkeep.fsck()).damage == 0
        assert not (tmp_path / "data" / "index").exists()
        assert await clinic.count("Patient", family="found") == 4
        file = clinic.upkeep.search_index._indexer.opened()
        file._write(lambda: file._writer.execute("DELETE FROM string"))
        assert await clinic.count("Patient", family="found") == 0
        report = await clinic.upkeep.fsck()
        assert dict(report.counts) == {"index-differs": 4}
        assert (await clinic.upkeep.fsck(Thoroughness(repair=True))).repaired == 4
        assert await clinic.count("Patient", family="found") == 4
        assert (await clinic.upkeep.fsck()).damage == 0
