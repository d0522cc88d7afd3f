"""What hinders an index is told, costs nothing but searches, and ends by itself; a killed process damages nothing."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fhirstore import FhirStore, IndexOptions
from fhirstore.index.local.placing import IndexUnusable
from fhirstore.indexing.verify import verify
from fhirstore.objects.memory import MemoryStore
from tests.indexing.machines import machine, patient
from tests.indexing.test_follower import eventually


async def test_a_full_disk_is_told_and_nothing_is_lost(tmp_path: Path) -> None:
    """Writes and reads go on; searches are told to come again, and find all when there is room."""
    store = MemoryStore()
    async with machine(store, tmp_path / "a") as one:
        one.wrote(await one.clinic.update(patient("p", "Fits")))
        assert await one.search("Patient", "family=fits") == ["Patient/p/1"]
        file = one.indexer.opened()
        (pages,) = file._writer.execute("PRAGMA page_count").fetchone()
        file._writer.execute(f"PRAGMA max_page_count = {pages}")
        for number in range(40):
            one.wrote(await one.clinic.update(patient(f"p{number}", f"Name{number}" * 100)))
        with pytest.raises(IndexUnusable, match="its disk is full"):
            await one.search("Patient", "family=fits")
        assert (await one.clinic.read("Patient", "p7")).id == "p7"
        assert len(one.indexer.queue) == 40
        file._writer.execute(f"PRAGMA max_page_count = {pages + 10_000}")
        assert len(await one.search("Patient", "")) == 41
        assert not len(one.indexer.queue)


async def test_the_follower_says_what_hinders_it_and_tries_again(tmp_path: Path) -> None:
    """In the status, until it goes on."""
    options = IndexOptions(follow=True, poll=0.02)
    async with machine(MemoryStore(), tmp_path / "a", options=options) as one:
        file = one.indexer.opened()
        (pages,) = file._writer.execute("PRAGMA page_count").fetchone()
        file._writer.execute(f"PRAGMA max_page_count = {pages}")
        one.indexer.follow()
        for number in range(40):
            one.wrote(await one.clinic.update(patient(f"p{number}", f"Name{number}" * 100)))

        async def told() -> bool:
            problem = one.indexer.seen.problem
            return problem is not None and "its disk is full" in problem

        await eventually(told)
        assert not one.indexer.seen.is_ready
        file._writer.execute(f"PRAGMA max_page_count = {pages + 10_000}")

        async def done() -> bool:
            return one.indexer.seen.problem is None and not one.indexer.seen.queued

        await eventually(done)
        await one.indexer.look()
        assert one.indexer.seen.resources == 40
        assert one.indexer.seen.is_ready


async def test_a_file_that_may_not_grow_is_told_and_nothing_is_lost(tmp_path: Path) -> None:
    """As with a quota, where the system says something else than that the disk is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with machine(MemoryStore(), tmp_path / "a") as one:
        one.wrote(await one.clinic.update(patient("p", "Fits")))
        assert await one.search("Patient", "family=fits") == ["Patient/p/1"]
        for number in range(40):
            one.wrote(await one.clinic.update(patient(f"p{number}", f"Name{number}" * 100)))
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
            with pytest.raises(IndexUnusable, match="its disk does not work"):
                await one.search("Patient", "family=fits")
            one.wrote(await one.clinic.update(patient("q", "Meanwhile")))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert len(await one.search("Patient", "")) == 42
        assert await one.search("Patient", "family=meanwhile") == ["Patient/q/1"]
        assert (await verify(one.indexer)).ok


CUT = """
import asyncio, os, sys
from pathlib import Path
from tests.indexing.machines import machine, patient
from fhirstore.indexing.status import IndexBehind
from fhirstore.objects.memory import MemoryStore

async def main(path: Path) -> None:
    async with machine(MemoryStore(), path) as one:
        for number in range(400):
            one.wrote(await one.clinic.update(patient(f"p{number}", f"Name{number}")))
        assert len(await one.search("Patient", "")) == 400
        one.indexer.opened()._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        one.wrote(await one.clinic.update(patient("new", "New")))
        await one.indexer.ensure()
        os.truncate(path, int(path.stat().st_size * float(sys.argv[2])))
        for _ in range(20):
            try:
                found = await one.search("Patient", "")
            except IndexBehind:
                await asyncio.sleep(0.05)
            else:
                assert len(found) == 401, len(found)
        one.wrote(await one.clinic.update(patient("more", "More")))
        assert len(await one.search("Patient", "")) == 402

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.parametrize("left", ["0", "0.5"])
def test_a_file_that_is_cut_short_ends_no_process(left: str, tmp_path: Path) -> None:
    """It is set aside and built again, and writes go on: a page that is not there must not be a fault of memory."""
    command = [sys.executable, "-c", CUT, str(tmp_path / "a"), left]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    assert "was set aside" in done.stderr


WRITER = """
import asyncio, sys
from pathlib import Path
from fhirstore import FhirStore, IndexOptions

async def main(folder: Path) -> None:
    options = IndexOptions(folder / "index", follow=True, poll=0.01)
    async with FhirStore.open(f"file:{folder / 'data'}", index=options) as store:
        clinic = store.tenant("default")
        number = 0
        while True:
            number += 1
            name = [{"family": f"N{number}"}]
            await clinic.update({"resourceType": "Patient", "id": f"p{number % 400}", "name": name})
            if number % 9 == 0:
                await clinic.search("Patient", family=f"n{number}")
            print(number, flush=True)

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.kill
def test_killed_processes_leave_an_index_that_is_right(tmp_path: Path) -> None:
    """Two that write and apply all the time are killed, again and again: nothing differs, and another one leads."""
    for _ in range(2):
        running = [
            subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        for one in running:
            assert one.stdout is not None
            for _ in range(60):
                assert one.stdout.readline()
        for one in running:
            os.kill(one.pid, signal.SIGKILL)
        for one in running:
            one.communicate(timeout=30)
        asyncio.run(_is_right(tmp_path))


async def _is_right(folder: Path) -> None:
    options = IndexOptions(folder / "index", follow=True, poll=0.05)
    async with FhirStore.open(f"file:{folder / 'data'}", index=options) as store:
        indexer = store._engine.indexer(store.tenancy.place("default"))
        indexer.follow()
        report = await verify(indexer)
        assert report.differences == []
        assert report.resources > 0

        async def leads() -> bool:
            return indexer.lead.held

        await eventually(leads)
