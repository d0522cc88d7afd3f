"""Large batches are applied by a process of their own; where that is not possible, by this one."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from fhirstore.indexing.options import IndexOptions
from fhirstore.indexing.verify import verify
from fhirstore.objects.memory import MemoryStore
from tests.indexing.machines import Machine, machine, patient
from tests.indexing.test_follower import eventually

ASIDE = IndexOptions(aside=True)


async def write(one: Machine, count: int, name: str) -> None:
    """So many patients of this name, which wait to be applied."""
    for number in range(count):
        one.wrote(await one.clinic.update(patient(f"{name}{number}", name)))


def child_of(one: Machine) -> int:
    """The id of the process that applies."""
    aside = one.indexer._aside
    assert aside is not None
    assert aside._child is not None
    return aside._child.process.pid


async def test_a_large_batch_is_applied_by_a_process_of_its_own(tmp_path: Path) -> None:
    """With less right to the processor; searches find what it applied, and it ends with the index."""
    async with machine(MemoryStore(), tmp_path / "a", options=ASIDE) as one:
        await write(one, 150, "many")
        assert len(await one.search("Patient", "family=many")) == 150
        child = child_of(one)
        assert os.getpriority(os.PRIO_PROCESS, child) > os.getpriority(os.PRIO_PROCESS, 0)
        await write(one, 120, "more")
        await one.clinic.delete("Patient", "many7")
        assert len(await one.search("Patient", "")) == 269
        assert child_of(one) == child
        assert (await verify(one.indexer)).ok
    assert not Path(f"/proc/{child}").exists()


async def test_it_indexes_the_same_full_text(tmp_path: Path) -> None:
    """Whatever the option says; a process with another catalogue could not open the file."""
    options = IndexOptions(aside=True, text="all")
    async with machine(MemoryStore(), tmp_path / "a", options=options) as one:
        await write(one, 120, "many")
        assert len(await one.search("Patient", "_content=many7")) == 1
        assert child_of(one)
        assert (await verify(one.indexer)).ok


async def test_a_killed_process_is_replaced(tmp_path: Path) -> None:
    """This process applies the batch, and the next one finds another child."""
    async with machine(MemoryStore(), tmp_path / "a", options=ASIDE) as one:
        await write(one, 120, "first")
        await one.indexer.ensure(within=60)
        child = child_of(one)
        os.kill(child, signal.SIGKILL)
        await write(one, 120, "second")
        assert len(await one.search("Patient", "family=second")) == 120
        await write(one, 120, "third")
        assert len(await one.search("Patient", "")) == 360
        assert child_of(one) != child
        assert (await verify(one.indexer)).ok


async def test_an_index_that_was_removed_is_made_by_this_process(tmp_path: Path) -> None:
    """The child makes none, and follows to the new file."""
    async with machine(MemoryStore(), tmp_path / "a", options=ASIDE) as one:
        await write(one, 120, "first")
        await one.indexer.ensure(within=60)
        (tmp_path / "a").unlink()
        await write(one, 120, "second")
        assert len(await one.search("Patient", "")) == 240
        await write(one, 120, "third")
        assert len(await one.search("Patient", "")) == 360
        assert (await verify(one.indexer)).ok


async def test_the_child_ends_with_its_pipe(tmp_path: Path) -> None:
    """So with this process, even if that is killed."""
    async with machine(MemoryStore(), tmp_path / "a", options=ASIDE) as one:
        await write(one, 120, "first")
        await one.indexer.ensure(within=60)
        aside = one.indexer._aside
        assert aside is not None
        child = aside._child
        assert child is not None
        assert child.process.stdin is not None
        child.process.stdin.close()
        async with asyncio.timeout(20):
            assert await child.process.wait() == 0

        async def applied() -> bool:
            await one.indexer.ensure(within=60)
            return not len(one.indexer.queue)

        await write(one, 120, "second")
        await eventually(applied)
