"""A kind of job for tests: it does its steps one by one, and what becomes of each is said by its request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from fhirstore import FhirStore, Issue, Job, JobFailed, JobFile, JobKind, JobWork, TenantStore
from fhirstore.clock import Clock, SystemIds
from fhirstore.commit.limits import Limits
from fhirstore.jobs.limits import JobLimits
from fhirstore.jobs.pace import Pacer
from fhirstore.objects.base import ObjectStore
from fhirstore.objects.memory import MemoryStore
from fhirstore.tenancy import PrefixTenancy

_PATIENCE = 30.0  # seconds, on a busy machine


@dataclass
class Steps:
    """A job of as many `steps` as its request says, each a file. `step` says what else a step does.

    `pause`: seconds after each.
    `begun`: the epochs of the runs. `pacers`: of the runs. `at_once`, `most`: how many run now, and ran at most.
    """

    name: str = "steps"
    lease: int = 30_000
    attempts: int = 3
    keep: int | None = 86_400_000
    step: Callable[[JobWork, int], None] | None = None
    gate: asyncio.Event | None = None
    pause: float = 0.0
    begun: list[tuple[str, int]] = field(default_factory=list)
    pacers: list[Pacer] = field(default_factory=list)
    at_once: int = 0
    most: int = 0

    async def run(self, work: JobWork) -> Mapping[str, object]:
        self.begun.append((work.place.tenant, work.epoch))
        self.pacers.append(work.pacer)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            return await self._steps(work)
        finally:
            self.at_once -= 1

    async def _steps(self, work: JobWork) -> Mapping[str, object]:
        done, steps = int(str(work.work.get("done", 0))), int(str(work.metadata.request.get("steps", 1)))
        while done < steps:
            if self.gate is not None:
                await self.gate.wait()
            if self.step is not None:
                self.step(work, done)
            key = f"{work.keys.prefix}output/{done}.{work.epoch}"
            await work.place.objects.put(key, b"line\n")
            await work.add_file(
                JobFile(name=f"part.{done}", key=key, size=5, sha256="0" * 64, count=1, tags={"type": "Patient"})
            )
            done += 1
            work.log("step", done=done)
            await work.checkpoint({"done": done})
            await asyncio.sleep(self.pause)
        return {"done": done}


def failing(work: JobWork, done: int) -> None:
    """A step that finds out that the job cannot succeed."""
    raise JobFailed(Issue("invalid", "This cannot be done"))


def store_of(objects: ObjectStore | None = None, *, clock: Clock | None = None, **limits: int) -> FhirStore:
    """Returns a store of the tenants `a` and `b`."""
    return FhirStore(
        PrefixTenancy(objects or MemoryStore(clock), frozenset({"a", "b"})),
        ids=SystemIds(),
        limits=Limits(),
        job_limits=JobLimits(**limits),
    )


@asynccontextmanager
async def working(
    store: FhirStore, *kinds: JobKind, at_once: int = 2, said: list[str] | None = None
) -> AsyncIterator[asyncio.Event]:
    """A worker of this store works until the block ends. Yields its event to stop."""
    stop = asyncio.Event()
    lines = said if said is not None else []
    task = asyncio.create_task(store.worker(kinds=kinds, at_once=at_once, poll=0.02, say=lines.append).run(stop))
    try:
        yield stop
    finally:
        stop.set()
        await asyncio.wait_for(task, _PATIENCE)


async def ended(clinic: TenantStore, job: Job) -> Job:
    """Waits until the job has ended, and returns it."""

    async def over() -> bool:
        return not (await clinic.jobs.get(job.id)).is_live

    await until(over)
    return await clinic.jobs.get(job.id)


async def until(true: Callable[[], bool] | Callable[[], Awaitable[bool]]) -> None:
    """Waits until `true` says so."""
    async with asyncio.timeout(_PATIENCE):
        while True:
            answer = true()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.005)


async def keys_of(store: ObjectStore, prefix: str = "") -> list[str]:
    """Returns all keys of the store."""
    return [item.key for item in (await store.list(prefix)).objects]
