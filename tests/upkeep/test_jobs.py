"""The sweeper removes what is left of jobs, and fsck knows all that jobs store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from fhirstore import Job, TenantStore
from fhirstore.objects.memory import MemoryStore
from fhirstore.upkeep.fsck.finding import KINDS
from fhirstore.upkeep.fsck.run import FsckReport, Thoroughness, fsck
from fhirstore.upkeep.sweep.run import SweepReport, sweep
from tests.commit.hurried import HandClock, hurry
from tests.jobs.working import Steps, ended, keys_of, store_of, working
from tests.upkeep.sweep.attempts import context

DAY = 86_400_000


def test_every_kind_of_finding_about_jobs_has_a_test() -> None:
    """The table of kinds and the damage below name the same."""
    made = {"job-state", "job-metadata", "job-entry", "job-not-queued", "job-entry-dead", "job-leftover"}
    assert {kind for kind in KINDS if kind.startswith("job-")} == made


class Kept:
    """A tenant with a completed and a waiting job, on a clock that the test moves."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.objects = MemoryStore(self.clock)
        self.store = store_of(self.objects)
        self.clinic: TenantStore = self.store.tenant("a")
        self.keys = self.store.tenancy.place("a").keys
        self.done: Job
        self.waiting: Job

    async def fill(self) -> Kept:
        async with working(self.store, Steps(keep=30 * DAY)):
            self.done = await ended(self.clinic, await self.clinic.jobs.create("steps", {"steps": 2}))
        self.waiting = await self.clinic.jobs.create("steps", {})
        self.clock.ms += 60_000
        return self

    async def fsck(self, how: Thoroughness | None = None) -> FsckReport:
        return await hurry(fsck(self.keys, context=context(self.objects), how=how), self.objects, self.clock)

    async def sweep(self) -> SweepReport:
        return await hurry(sweep(self.keys, context=context(self.objects)), self.objects, self.clock)


@pytest.fixture
async def kept() -> Kept:
    return await Kept().fill()


async def test_fsck_finds_nothing_wrong_with_sound_jobs(kept: Kept) -> None:
    """Live, ended, cancelled and removed ones, whatever the size of a page."""
    await kept.clinic.jobs.cancel((await kept.clinic.jobs.create("steps", {})).id)
    assert (await kept.fsck()).counts == {}
    assert (await kept.fsck(Thoroughness(page=1))).counts == {}


async def _state(kept: Kept) -> dict[str, int]:
    await kept.objects.put(kept.waiting.keys.state, b"?")
    return {"job-state": 1}


async def _metadata(kept: Kept) -> dict[str, int]:
    await kept.objects.delete(kept.done.keys.metadata)
    return {"job-metadata": 1}


async def _entry(kept: Kept) -> dict[str, int]:
    key = next(key for key in await keys_of(kept.objects, kept.keys.job_queue()) if "~" not in key)
    await kept.objects.put(key, b"?")
    return {"job-entry": 1}


async def _not_queued(kept: Kept) -> dict[str, int]:
    for key in await keys_of(kept.objects, kept.keys.job_queue()):
        await kept.objects.delete(key)
    return {"job-not-queued": 2}


async def _dead_entry(kept: Kept) -> dict[str, int]:
    for key in await keys_of(kept.objects, kept.waiting.keys.prefix):
        await kept.objects.delete(key)
    return {"job-entry-dead": 1}


async def _leftover(kept: Kept) -> dict[str, int]:
    await kept.objects.put(kept.keys.job("steps", "x") + "output/1", b"line\n")
    kept.clock.ms += 60_000
    return {"job-leftover": 1}


async def _strays(kept: Kept) -> dict[str, int]:
    for name in ("queue/x.txt", "note.txt", "steps/x.json", "queue/a/b_c.json"):
        await kept.objects.put(kept.keys.jobs() + name, b"")
    await kept.objects.put(kept.done.keys.prefix + "other.txt", b"")
    return {"stray-key": 5}


@pytest.mark.parametrize("damage", [_state, _metadata, _entry, _not_queued, _dead_entry, _leftover, _strays])
async def test_fsck_names_what_is_wrong(kept: Kept, damage: Callable[[Kept], Awaitable[dict[str, int]]]) -> None:
    """Each kind of damage, and nothing else."""
    expected = await damage(kept)
    assert (await kept.fsck()).counts == expected


async def test_fsck_brings_a_job_back_into_the_queue(kept: Kept) -> None:
    """With repair, the entry that the state says it has is written again, and a worker finds the job."""
    await _not_queued(kept)
    report = await kept.fsck(Thoroughness(repair=True))
    assert report.repaired == 2
    assert (await kept.fsck()).counts == {}
    async with working(kept.store, Steps()):
        await ended(kept.clinic, kept.waiting)
    assert len(await kept.clinic.jobs.list()) == 2


async def test_the_sweeper_removes_what_a_stopped_worker_wrote_after_the_removal(kept: Kept) -> None:
    """Only when all of it is a day old, and only where there is no state."""
    key = kept.keys.job("steps", "x") + "output/1"
    await kept.objects.put(key, b"line\n")
    assert (await kept.sweep()).jobs == 0
    kept.clock.ms += DAY + 1
    assert (await kept.sweep()).jobs == 1
    assert key not in await keys_of(kept.objects)
    assert {job.id for job in await kept.clinic.jobs.list()} == {kept.done.id, kept.waiting.id}


async def test_the_sweeper_does_what_no_worker_has_done(kept: Kept) -> None:
    """It removes expired and cancelled jobs, and entries of creations that died."""
    await kept.objects.put(kept.keys.job_queue() + "steps_DEAD.json", b'{"prefix":"bulk/steps/DEAD/"}')
    await kept.objects.put(kept.keys.job("steps", "DEAD") + "metadata.json", b'{"id":"DEAD"}')
    await kept.clinic.jobs.cancel(kept.waiting.id)
    for _ in range(3):
        kept.clock.ms += 31 * DAY
        await kept.sweep()
    assert [key for key in await keys_of(kept.objects) if "/bulk/" in key] == []
