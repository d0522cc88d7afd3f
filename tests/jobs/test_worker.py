"""A worker runs jobs to one end, hands back what it cannot finish, and lets no tenant and no damage stop the others."""

from __future__ import annotations

import asyncio

import pytest

from fhirstore import Job, JobLimits, JobPaused, JobWork, LeaseLost, NotFound, TenantStore, TooManyJobs
from fhirstore.clock import SystemIds
from fhirstore.commit.drive import drive
from fhirstore.commit.limits import Context, Limits
from fhirstore.jobs.lease import Lease, claim_existing
from fhirstore.jobs.progress import put, take
from fhirstore.jobs.state import RUNNING, WAITING, decode_state
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.metered import MeteredStore
from tests.commit.hurried import HandClock
from tests.jobs.working import Steps, ended, failing, keys_of, store_of, until, working


async def test_a_job_runs_to_its_end_with_its_log_and_its_files() -> None:
    """It completes with the work that `run` returns; the log and the records of its files can be read."""
    store, kind = store_of(), Steps()
    clinic = store.tenant("a")
    async with working(store, kind):
        job = await ended(clinic, await clinic.jobs.create("steps", {"steps": 3}, by="test"))
    assert (job.status, job.work["done"], job.metadata.by) == ("completed", 3, "test")
    assert [(file.name, file.count, dict(file.tags)) for file in await clinic.jobs.files(job)] == [
        (f"part.{n}", 1, {"type": "Patient"}) for n in range(3)
    ]
    events = [line["event"] async for line in clinic.jobs.log(job)]
    assert events == ["begin", "step", "step", "step", "completed"]
    assert [one.id for one in await clinic.jobs.list()] == [job.id]
    assert kind.begun == [("a", 1)]


async def test_a_job_that_cannot_succeed_fails_with_its_reasons() -> None:
    """JobFailed ends it at once, and the issues are kept."""
    store, kind = store_of(), Steps(step=failing)
    clinic = store.tenant("a")
    async with working(store, kind):
        job = await ended(clinic, await clinic.jobs.create("steps", {}))
    assert job.status == "failed"
    assert [issue["diagnostics"] for issue in job.issues] == ["This cannot be done"]
    assert len(kind.begun) == 1


async def test_attempts_without_a_checkpoint_are_counted_and_then_the_job_fails() -> None:
    """Each error is followed by a longer pause; the last one is the reason, without the text of foreign errors."""
    clock = HandClock()
    store = store_of(clock=clock)
    clinic = store.tenant("a")

    def broken(work: JobWork, done: int) -> None:
        raise RuntimeError("Peter James Chalmers")

    kind = Steps(step=broken)
    async with working(store, kind):
        job = await clinic.jobs.create("steps", {})
        pauses = []
        for n in range(1, 3):
            await until(lambda n=n: len(kind.begun) == n)
            state = (await clinic.jobs.get(job.id)).state
            while state.status == RUNNING:
                await asyncio.sleep(0.005)
                state = (await clinic.jobs.get(job.id)).state
            assert (state.status, state.attempts) == (WAITING, n)
            pauses.append(state.expires - clock.ms)
            clock.ms = state.expires + 1
        job = await ended(clinic, job)
    assert pauses == [2_000, 4_000]
    assert job.status == "failed"
    assert "RuntimeError" in str(job.issues)
    assert "Chalmers" not in str(job.issues) + str([line async for line in clinic.jobs.log(job)])


async def test_a_checkpoint_resets_the_count_of_attempts() -> None:
    """A job that gets further each time may fail more often than `attempts`."""
    clock = HandClock()
    store = store_of(clock=clock)
    clinic = store.tenant("a")
    failed: set[int] = set()

    def once(work: JobWork, done: int) -> None:
        clock.ms += 10_000
        if done not in failed:
            failed.add(done)
            raise RuntimeError

    async with working(store, Steps(step=once, attempts=2)):
        job = await clinic.jobs.create("steps", {"steps": 6})
        while (await clinic.jobs.get(job.id)).is_live:
            clock.ms += 10_000
            await asyncio.sleep(0.01)
    assert (await clinic.jobs.get(job.id)).status == "completed"


async def test_a_job_of_a_dead_worker_is_taken_over_with_the_next_epoch() -> None:
    """Once the lease has expired, another worker goes on from the last checkpoint; the first can write no more."""
    clock = HandClock()
    objects = MemoryStore(clock)
    store = store_of(objects)
    clinic = store.tenant("a")
    job = await clinic.jobs.create("steps", {"steps": 3})
    context = Context(objects.now, SystemIds(), Limits())
    dead = await drive(claim_existing(job.keys.state, "dead", context=context, length=30_000), objects)
    assert isinstance(dead, Lease)
    kind = Steps()
    async with working(store, kind):
        await asyncio.sleep(0.1)
        assert kind.begun == []
        clock.ms += 30_001
        job = await ended(clinic, job)
    assert kind.begun == [("a", 2)]
    assert job.status == "completed"


async def test_a_heartbeat_renews_the_lease_of_a_job_that_takes_long() -> None:
    """At a third of the lease, without a checkpoint; so nobody takes the job over."""
    clock = HandClock()
    store, kind = store_of(clock=clock), Steps(gate=asyncio.Event(), lease=300)
    clinic = store.tenant("a")
    async with working(store, kind), working(store, kind):
        job = await clinic.jobs.create("steps", {})
        await until(lambda: kind.at_once == 1)
        for _ in range(3):
            before = (await clinic.jobs.get(job.id)).state.expires
            clock.ms += 150
            await until(lambda before=before: _expires_after(clinic, job, before))
        assert kind.gate is not None
        kind.gate.set()
        job = await ended(clinic, job)
    assert kind.begun == [("a", 1)]


async def _expires_after(clinic: TenantStore, job: Job, before: int) -> bool:
    return (await clinic.jobs.get(job.id)).state.expires > before


async def test_a_run_whose_lease_was_taken_is_ended() -> None:
    """By the next heartbeat; it writes no end of the job."""
    clock = HandClock()
    objects = MemoryStore(clock)
    store, kind = store_of(objects), Steps(gate=asyncio.Event(), lease=300)
    clinic = store.tenant("a")
    context = Context(objects.now, SystemIds(), Limits())
    async with working(store, kind):
        job = await clinic.jobs.create("steps", {})
        await until(lambda: kind.at_once == 1)
        clock.ms += 10_000
        other = await drive(claim_existing(job.keys.state, "other", context=context, length=10**9), objects)
        assert isinstance(other, Lease)
        await until(lambda: kind.at_once == 0)
        await asyncio.sleep(0.1)
        assert (await clinic.jobs.get(job.id)).state == other.state


async def test_a_worker_that_dies_in_a_job_each_time_fails_it() -> None:
    """Claims without a checkpoint count as attempts, even where no error was ever seen."""
    clock = HandClock()
    objects = MemoryStore(clock)
    store = store_of(objects)
    clinic = store.tenant("a")
    job = await clinic.jobs.create("steps", {})
    context = Context(objects.now, SystemIds(), Limits())
    for _ in range(3):
        await drive(claim_existing(job.keys.state, "dies", context=context, length=1_000), objects)
        clock.ms += 1_001
    kind = Steps()
    async with working(store, kind):
        job = await ended(clinic, job)
    assert job.status == "failed"
    assert kind.begun == []


async def test_a_graceful_stop_hands_the_job_back() -> None:
    """It waits without an owner, its attempt is not counted, and another worker claims it at once."""
    store, kind = store_of(), Steps(gate=asyncio.Event())
    clinic = store.tenant("a")
    async with working(store, kind):
        job = await clinic.jobs.create("steps", {"steps": 2})
        await until(lambda: len(kind.begun) == 1)
    state = (await clinic.jobs.get(job.id)).state
    assert (state.status, state.owner, state.attempts, state.expires) == (WAITING, None, 0, 0)
    assert kind.gate is not None
    kind.gate.set()
    async with working(store, kind):
        job = await ended(clinic, job)
    assert kind.begun == [("a", 1), ("a", 2)]


async def test_a_paused_job_goes_on_when_it_is_time_or_when_it_is_woken() -> None:
    """It holds no worker meanwhile, and its work is kept."""
    clock = HandClock()
    store = store_of(clock=clock)
    clinic = store.tenant("a")
    pauses = [clock.ms + 60_000, clock.ms + 99_000_000]

    def pausing(work: JobWork, done: int) -> None:
        if pauses:
            raise JobPaused(pauses.pop(0), {"done": 0, "paused": True})

    kind = Steps(step=pausing)
    async with working(store, kind):
        job = await clinic.jobs.create("steps", {})
        await until(lambda: len(kind.begun) == 1 and kind.at_once == 0)
        await asyncio.sleep(0.1)
        assert len(kind.begun) == 1
        clock.ms += 60_001
        await until(lambda: len(kind.begun) == 2 and kind.at_once == 0)
        await until(lambda: _waits(clinic, job))
        assert (await clinic.jobs.get(job.id)).work == {"done": 0, "paused": True}
        await clinic.jobs.wake(job.id)
        assert (await ended(clinic, job)).status == "completed"


async def _waits(clinic: TenantStore, job: Job) -> bool:
    return (await clinic.jobs.get(job.id)).status == WAITING


async def _is_empty(objects: MemoryStore) -> bool:
    return not await keys_of(objects)


async def test_a_cancelled_job_ends_here_and_leaves_nothing() -> None:
    """Its run is ended at once, it is NotFound, and when no late request can come any more all of it is gone."""
    clock = HandClock()
    objects = MemoryStore(clock)
    store, kind = store_of(objects), Steps(gate=asyncio.Event())
    clinic = store.tenant("a")
    async with working(store, kind):
        job = await clinic.jobs.create("steps", {"steps": 2})
        await until(lambda: kind.at_once == 1)
        assert (await clinic.jobs.cancel(job.id)).status == "cancelled"
        await until(lambda: kind.at_once == 0)
        with pytest.raises(NotFound):
            await clinic.jobs.get(job.id)
        await asyncio.sleep(0.1)
        assert [key for key in await keys_of(objects) if "queue" not in key and "log/" not in key] == [job.keys.state]
        clock.ms += 60_000
        await until(lambda: _is_empty(objects))
    with pytest.raises(NotFound):
        await clinic.jobs.cancel(job.id)


async def test_an_ended_job_is_removed_when_it_expires() -> None:
    """Files, state and the entries of the queue go, and nothing is left."""
    clock = HandClock()
    objects = MemoryStore(clock)
    store = store_of(objects)
    clinic = store.tenant("a")
    async with working(store, Steps(keep=3_600_000)):
        job = await ended(clinic, await clinic.jobs.create("steps", {"steps": 2}))
        assert job.expires_at == clock.ms + 3_600_000
        clock.ms += 3_600_001
        async with asyncio.timeout(30):
            while await keys_of(objects):
                clock.ms += 1_000
                await asyncio.sleep(0.01)
    assert await clinic.jobs.list() == []


async def test_a_removed_job_is_gone_at_once() -> None:
    """remove() deletes the files of a completed job before it returns."""
    objects = MemoryStore()
    store = store_of(objects)
    clinic = store.tenant("a")
    async with working(store, Steps()):
        job = await ended(clinic, await clinic.jobs.create("steps", {"steps": 2}))
    await clinic.jobs.remove(job.id, kind="steps")
    with pytest.raises(NotFound):
        await clinic.jobs.get(job.id, kind="steps")
    left = await keys_of(objects)
    assert [key for key in left if "/queue/" not in key] == [job.keys.state]
    assert all("/queue/~" in key for key in left if "/queue/" in key)


async def test_of_many_creations_at_once_exactly_as_many_succeed_as_may() -> None:
    """The limit is never exceeded, and those that are refused leave nothing."""
    objects = MemoryStore()
    store = store_of(objects, running=2, queued=3)
    clinic = store.tenant("a")
    made = await asyncio.gather(*[clinic.jobs.create("steps", {}) for _ in range(20)], return_exceptions=True)
    assert sum(isinstance(one, TooManyJobs) for one in made) == 15
    assert len(await clinic.jobs.list()) == 5
    assert len([key for key in await keys_of(objects) if "/queue/" in key]) == 5
    await store.tenant("b").jobs.create("steps", {})


async def test_no_more_jobs_of_a_tenant_run_at_once_than_may() -> None:
    """However many workers there are."""
    store, kind = store_of(running=2), Steps(gate=asyncio.Event())
    clinic = store.tenant("a")
    for _ in range(5):
        await clinic.jobs.create("steps", {})
    async with working(store, kind, at_once=4), working(store, kind, at_once=4):
        await until(lambda: kind.at_once == 2)
        await asyncio.sleep(0.1)
        assert kind.most == 2
        assert kind.gate is not None
        kind.gate.set()
        for one in await clinic.jobs.list():
            await ended(clinic, one)
    assert kind.most == 2
    assert len(kind.begun) == 5


async def test_a_tenant_with_many_jobs_does_not_starve_another() -> None:
    """Jobs of the tenants are claimed in turn."""
    store, kind = store_of(running=8), Steps()
    for _ in range(6):
        await store.tenant("a").jobs.create("steps", {})
    for _ in range(2):
        await store.tenant("b").jobs.create("steps", {})
    async with working(store, kind, at_once=1):
        await until(lambda: len(kind.begun) == 8)
    assert sorted(tenant for tenant, _ in kind.begun[:4]) == ["a", "a", "b", "b"]


async def test_a_damaged_job_does_not_stop_the_others() -> None:
    """It is told once, and stays for fsck."""
    objects = MemoryStore()
    store = store_of(objects)
    clinic = store.tenant("a")
    bad, good = await clinic.jobs.create("steps", {}), await clinic.jobs.create("steps", {})
    await objects.put(bad.keys.state, b"?")
    said: list[str] = []
    async with working(store, Steps(), said=said):
        assert (await ended(clinic, good)).status == "completed"
        await asyncio.sleep(0.1)
    assert len(said) == 1
    assert bad.keys.state in said[0]
    assert [job.id for job in await clinic.jobs.list()] == [good.id]


async def test_a_kind_that_a_worker_does_not_know_waits_for_one_that_does() -> None:
    """It is not claimed, and does not keep the others from running."""
    store = store_of()
    clinic = store.tenant("a")
    foreign, own = await clinic.jobs.create("foreign", {}), await clinic.jobs.create("steps", {})
    async with working(store, Steps()):
        await ended(clinic, own)
    assert (await clinic.jobs.get(foreign.id)).state.epoch == 0


async def test_an_idle_worker_asks_once_per_tenant_and_poll() -> None:
    """1 LIST, however many jobs have ended."""
    meter = MeteredStore(MemoryStore())
    store = store_of(meter)
    clinic = store.tenant("a")
    async with working(store, Steps()):
        for _ in range(3):
            await ended(clinic, await clinic.jobs.create("steps", {}))
        await asyncio.sleep(0.1)
        before = dict(meter.totals.requests)
        await asyncio.sleep(0.3)
        after = dict(meter.totals.requests)
    new = {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}
    assert set(new) == {"LIST"}
    assert new["LIST"] >= 4


async def test_progress_of_an_older_run_cannot_be_written_any_more() -> None:
    """The newer run takes the object over by compare-and-set, and the older one gets LeaseLost."""
    objects = MemoryStore()
    old = await drive(take("k", 1), objects)
    old = await drive(put(old, {"n": 1}), objects)
    new = await drive(take("k", 2), objects)
    assert new.body == {"n": 1}
    with pytest.raises(LeaseLost):
        await drive(put(old, {"n": 2}), objects)
    with pytest.raises(LeaseLost):
        await drive(take("k", 1), objects)
    await drive(put(new, {"n": 3}), objects)
    assert (await drive(take("k", 2), objects)).body == {"n": 3}


def test_a_limit_counts_running_and_queued() -> None:
    """The most live jobs are both together."""
    assert JobLimits(running=4, queued=20).most == 24
    assert decode_state(b'{"status":"waiting","epoch":0,"owner":null,"expires":0,"attempts":0}', "k").work == {}
