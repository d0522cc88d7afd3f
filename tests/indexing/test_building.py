"""A build reads the log in groups and applies them in batches, several at once; the index is as if one by one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from fhirstore.errors import StoreUnavailable, Unavailable
from fhirstore.index.local.noted import BUILDING, READY
from fhirstore.indexing import building
from fhirstore.objects.base import StoredObject
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.metered import MeteredStore
from fhirstore.objects.wrappers.passing_on import PassingOn
from tests.indexing.machines import Machine, machine, patient

LATER = 3_600_000
"""ms after which everything is settled."""


class ByHand:
    """A clock of the store that goes on by a millisecond with each look, and by hand."""

    at = 1_800_000_000_000

    def now(self) -> int:
        self.at += 1
        return self.at


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that few resources make many pages, groups and batches."""
    monkeypatch.setattr(building, "PAGE", 7)
    monkeypatch.setattr(building, "_GROUP", 3)
    monkeypatch.setattr(building, "_BATCH", 5)
    monkeypatch.setattr(building, "_RUN", 12)
    monkeypatch.setattr(building, "_SHARE", 1)
    monkeypatch.setattr("fhirstore.indexing.committed.LIST", 5)


async def write(one: Machine, seed: int) -> set[str]:
    """A hundred writes of forty resources, some in transactions, some deletes. Returns the versions that are there."""
    draw = random.Random(seed)
    there: dict[str, int] = {}
    versions: dict[str, int] = {}
    for _ in range(100):
        some = draw.sample(range(40), draw.choice((1, 1, 1, 3)))
        if len(some) == 1 and draw.random() < 0.2:
            deleted = await one.clinic.delete("Patient", f"p{some[0]}")
            if f"p{some[0]}" in there:
                versions[f"p{some[0]}"] = there.pop(f"p{some[0]}") + 1
            assert deleted is None or deleted
            continue
        entries = [
            {
                "resource": patient(f"p{n}", f"Name{draw.random()}"),
                "request": {"method": "PUT", "url": f"Patient/p{n}"},
            }
            for n in some
        ]
        await one.clinic.process({"resourceType": "Bundle", "type": "transaction", "entry": entries})
        for n in some:
            there[f"p{n}"] = max(versions.get(f"p{n}", 0), there.get(f"p{n}", 0)) + 1
    return {f"Patient/{id_}/{version}" for id_, version in there.items()}


@pytest.mark.parametrize("seed", range(3))
async def test_a_build_finds_the_newest_version_of_everything(seed: int, tmp_path: Path) -> None:
    """Updates, deletes and transactions that lie on several pages included; in the order of creation."""
    clock = ByHand()
    store = MemoryStore(clock)
    async with machine(store, tmp_path / "a") as one:
        expected = await write(one, seed)
        in_order = await one.search("Patient", "")
        clock.at += LATER
        async with machine(store, tmp_path / "b") as other:
            file = other.indexer.opened()
            assert file.state == READY
            assert file.watermark > clock.at - LATER
            with file.read() as reader:
                assert reader.rows("SELECT max(since) FROM string") == [(0,)], "no row has to be kept for earlier"
            assert await other.search("Patient", "") == in_order
            assert set(in_order) == expected


async def test_a_build_reads_each_resource_once(tmp_path: Path) -> None:
    """One GET for each, and a LIST for each page: nothing more."""
    clock = ByHand()
    store = MeteredStore(MemoryStore(clock))
    async with machine(store, tmp_path / "a") as one:
        for number in range(50):
            await one.clinic.update(patient(f"p{number}", "Name"))
        clock.at += LATER
        async with machine(store, tmp_path / "b", built=False) as other:
            with store.measure() as sent:
                await other.indexer.build(from_log=True)
            assert len(await other.search("Patient", "")) == 50
    assert sent.requests["GET"] == 50
    assert sent.requests["LIST"] <= 2 * 50 / 5


class Failing(PassingOn):
    """Answers so many GETs, and then no more."""

    left = 10**9

    async def get(self, key: str) -> StoredObject:
        self.left -= 1
        if self.left < 0:
            raise StoreUnavailable("away")
        return await self.inner.get(key)


async def test_a_build_that_failed_goes_on_where_it_was(tmp_path: Path) -> None:
    """Nothing is left out, nothing is applied that the watermark does not tell of, and searches wait."""
    clock = ByHand()
    store = Failing(MemoryStore(clock))
    async with machine(store, tmp_path / "a") as one:
        expected = await write(one, 7)
        clock.at += LATER
        async with machine(store, tmp_path / "b", built=False) as other:
            watermarks, failed = [], 0
            for answered in (45, 10**9):  # of nearly seventy
                store.left = answered
                try:
                    await other.indexer.build(from_log=True)
                except Unavailable:
                    failed += 1
                    assert other.indexer.opened().state == BUILDING
                watermarks.append(other.indexer.opened().watermark)
            assert watermarks == sorted(watermarks)
            assert (failed, 0 < watermarks[0] < watermarks[1]) == (1, True)
            assert set(await other.search("Patient", "")) == expected
