"""A build has the rows of large batches made by processes of their own, and finds what one process would."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from fhirstore.index.local.apply import Change, PreparedSheet
from fhirstore.indexing import building, extracting
from fhirstore.indexing.extracting import Extracting
from fhirstore.indexing.verify import verify
from fhirstore.objects.memory import MemoryStore
from tests.indexing.machines import Machine, machine, patient
from tests.indexing.test_building import ByHand
from tests.indexing.test_follower import eventually

LATER = 3_600_000
"""ms after which everything is settled."""


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few hundred resources make many batches, all of them for the processes."""
    monkeypatch.setattr(building, "_BATCH", 20)
    monkeypatch.setattr(building, "_GROUP", 10)
    monkeypatch.setattr(building, "_RUN", 50)
    monkeypatch.setattr(building, "_SHARE", 1)
    monkeypatch.setattr(extracting, "_LEAST", 1)


class Waited(Extracting):
    """Waits until its processes have started; notes what comes from them, and their ids."""

    sheets = 0
    children: ClassVar[set[int]] = set()
    killed = False

    async def _sheet(self, changes: Sequence[Change]) -> PreparedSheet | None:
        for one in self._children:
            one.begin()
            assert one._starting is not None
            await one._starting
            if one._child is not None:
                Waited.children.add(one._child.process.pid)
        if Waited.killed and len(Waited.children) == 2 and Waited.sheets >= 4:
            Waited.killed = False
            for pid in Waited.children:
                os.kill(pid, signal.SIGKILL)
        found = await super()._sheet(changes)
        Waited.sheets += found is not None
        return found


@pytest.mark.parametrize("killed", [False, True])
async def test_an_index_is_built_by_several_processes(
    killed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by one: parameters of the tenant that come in the middle included. Where they die, this one goes on alone."""
    monkeypatch.setattr("fhirstore.indexing.builds.Extracting", Waited)
    monkeypatch.setattr(Waited, "sheets", 0)
    monkeypatch.setattr(Waited, "children", set())
    monkeypatch.setattr(Waited, "killed", killed)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    clock = ByHand()
    store = MemoryStore(clock)
    own = {
        "resourceType": "SearchParameter",
        "id": "own",
        "url": "http://example.org/own",
        "name": "own",
        "description": "-",
        "status": "active",
        "code": "alone",
        "base": ["Patient"],
        "type": "string",
        "expression": "Patient.maritalStatus.text",
    }
    async with machine(store, tmp_path / "a") as one:
        for number in range(200):
            if number == 90:
                await one.clinic.update(own)
            await one.clinic.update(patient(f"p{number}", f"Name{number % 7}", maritalStatus={"text": f"T{number}"}))
        for number in range(0, 200, 9):
            await one.clinic.update(patient(f"p{number}", "Changed"))
        for number in range(0, 200, 11):
            await one.clinic.delete("Patient", f"p{number}")
        clock.at += LATER
        async with machine(store, tmp_path / "b", built=False) as other:
            await other.indexer.build(from_log=True)
            for machine_ in (one, other):

                async def filled(it: Machine = machine_) -> bool:
                    await it.indexer.learn()
                    it.catalogue = it.indexer.catalogue
                    return not it.catalogue.unfilled

                await eventually(filled)
            assert (await verify(other.indexer)).ok
            for query in ("family=name3", "family=changed", "alone=t9", ""):
                assert await other.search("Patient", query) == await one.search("Patient", query)
    assert len(Waited.children) == 2
    assert (Waited.sheets > 8) is not killed
    assert Waited.sheets >= 4
    for pid in Waited.children:
        assert not Path(f"/proc/{pid}").exists()


async def test_a_small_build_starts_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Since that takes longer than the build."""
    monkeypatch.setattr(extracting, "_LEAST", 1_000_000)
    monkeypatch.setattr("fhirstore.indexing.child.Child.start", None)
    clock = ByHand()
    store = MemoryStore(clock)
    async with machine(store, tmp_path / "a") as one:
        for number in range(50):
            await one.clinic.update(patient(f"p{number}", "Name"))
        clock.at += LATER
        async with machine(store, tmp_path / "b", built=False) as other:
            await other.indexer.build(from_log=True)
            assert len(await other.search("Patient", "family=name")) == 50
