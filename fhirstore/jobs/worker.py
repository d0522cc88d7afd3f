"""A worker: looks at the queues of all tenants, claims jobs and runs them. Any number of them may work on one store.

Each poll of a tenant is 1 LIST; for each live job 1 GET more (2 for the first time). Tenants take turns: the one whose
job was claimed last is looked at last, and each look claims one job at most, so that no tenant starves another. An
idle worker polls at intervals; a job that is created, and one that ends, in the same process wakes it at once.

It tidies as it goes: jobs that ended are filed away, those that are due are removed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress

import msgspec

from fhirstore.batched import batched
from fhirstore.clock import Ids
from fhirstore.commit.drive import drive
from fhirstore.commit.limits import Context, Limits
from fhirstore.commit.messages import Protocol, Result
from fhirstore.commit.side_by_side import side_by_side
from fhirstore.errors import FhirStoreError, ObjectNotFound
from fhirstore.format.keyspace import JobKeys
from fhirstore.jobs.kind import JobKind
from fhirstore.jobs.lease import Lease, claim_existing
from fhirstore.jobs.limits import JobLimits
from fhirstore.jobs.metadata import decode_metadata
from fhirstore.jobs.pace import Activity, Pacer
from fhirstore.jobs.queue import Entry, find, list_queue
from fhirstore.jobs.removal import Seen, claimable, looked_at, remove, tidied
from fhirstore.jobs.run import Run
from fhirstore.jobs.signals import JobSignals
from fhirstore.objects.retries import set_retry_budget
from fhirstore.tenancy import Place, Tenancy

_AT_ONCE = 16
_REMOVALS = 4  # of one tenant in one poll
_NAMES_FOR = 60.0  # seconds
_ENDS_IN = 0.9  # seconds
_FIRST = 1.0  # seconds: a process that starts has other things to do


class WorkerStatus(msgspec.Struct, frozen=True):
    """The jobs that a worker has seen at its last look at each tenant, and those that it runs.

    `live`: jobs that have not ended, by kind, whoever runs them. `oldest`: seconds since the oldest of them was
    created, by kind. `running`: jobs that run here. `lease`: seconds since their oldest lease was renewed.
    """

    live: Mapping[str, int]
    oldest: Mapping[str, float]
    running: int
    lease: float


Ran = Callable[[str, str, str, str], None]
"""Is told of each run of a job: tenant, kind, id, and how it ended: complete, failed, or "" (handed back, or later)."""


class Worker:
    """Runs jobs of these kinds until it is told to stop."""

    def __init__(
        self,
        tenancy: Tenancy,
        kinds: Iterable[JobKind],
        *,
        ids: Ids,
        limits: Limits,
        signals: JobSignals,
        job_limits: JobLimits,
        at_once: int = 2,
        poll: float = 5.0,
        say: Callable[[str], None] = lambda _: None,
        activity: Activity | None = None,
        ran: Ran = lambda *_: None,
    ) -> None:
        """`at_once`: jobs of this worker at once. `poll`: seconds between polls. `say`: gets a line on what failed.

        `activity`: of others in this process, for the pace of the jobs. `ran`: is told of each run.
        """
        self._tenancy = tenancy
        self._kinds: Mapping[str, JobKind] = {kind.name: kind for kind in kinds}
        self._ids = ids
        self._limits = limits
        self._signals = signals
        self._job_limits = job_limits
        self._at_once = at_once
        self._poll = poll
        self._say = say
        self._pacer = Pacer(activity)
        self._ran = ran
        self._owner = ids.new()
        self._runs: dict[asyncio.Task[None], Run] = {}
        self._turns: list[str] = []  # tenants, the one to look at first in front
        self._named = float("-inf")  # when the tenants were listed
        self._known: dict[str, dict[str, JobKeys]] = {}  # by tenant and key of the entry
        self._live: dict[str, list[tuple[str, int]]] = {}  # by tenant: kind, and time of creation in epoch ms
        self._said: dict[str, str] = {}  # the failure that was told last, by tenant

    async def run(self, stop: asyncio.Event) -> None:
        """Works until `stop` is set; then hands its jobs back, which takes a second at most."""
        set_retry_budget(None)  # no client waits
        wake = self._signals.add_worker()
        stopping = asyncio.create_task(stop.wait())
        stopping.add_done_callback(lambda _: wake.set())
        pause = self._ids.jitter(0.5, 1.0) * min(self._poll, _FIRST)
        try:
            while not stop.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(wake.wait(), pause)
                wake.clear()
                if not stop.is_set():
                    await self._unless_stopped(self._look_at_all(), stopping)
                pause = self._poll * self._ids.jitter(0.8, 1.2)
        finally:
            stopping.cancel()
            self._signals.remove_worker(wake)
            await self._end_runs()

    @property
    def kinds(self) -> tuple[str, ...]:
        """The names of the kinds of jobs that it does."""
        return tuple(self._kinds)

    def status(self) -> WorkerStatus:
        """Returns what it knows of the queues and of its own runs. Sends no request."""
        live: dict[str, int] = {}
        oldest: dict[str, float] = {}
        now = self._now()
        for kind, created in (one for each in self._live.values() for one in each):
            live[kind] = live.get(kind, 0) + 1
            oldest[kind] = max(oldest.get(kind, 0.0), (now - created) / 1000)
        lease = max(((now - run.renewed) / 1000 for run in self._runs.values()), default=0.0)
        return WorkerStatus(live=live, oldest=oldest, running=len(self._runs), lease=max(0.0, lease))

    def _now(self) -> int:
        """Returns the time of the first store: all have about the same."""
        return next((objects.now() for objects in self._tenancy.stores), 0)

    async def _unless_stopped(self, work: Awaitable[None], stopping: asyncio.Task[bool]) -> None:
        """Waits for `work`; ends it when the worker is to stop."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            task.cancel()
            (ended,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(ended, Exception):
            self._tell("", ended)

    async def _end_runs(self) -> None:
        for task in self._runs:
            task.cancel()
        if self._runs:
            await asyncio.wait(self._runs, timeout=_ENDS_IN)

    # --- one poll -------------------------------------------------------------------------------------------

    async def _look_at_all(self) -> None:
        """Looks at every tenant once, and again at those that had work, as long as there is room for a run."""
        await self._name_tenants()
        waiting = list(self._turns)
        while waiting:
            more: list[str] = []
            for tenant in waiting:
                try:
                    claimed = await self._look_at(tenant)
                except FhirStoreError as error:
                    self._tell(tenant, error)
                    continue
                self._said.pop(tenant, None)
                if claimed:
                    self._turns.remove(tenant)
                    self._turns.append(tenant)
                    more.append(tenant)
            waiting = more if len(self._runs) < self._at_once else []

    async def _name_tenants(self) -> None:
        self._turns = [*(name for name in self._signals.tenants() if name not in self._turns), *self._turns]
        now = asyncio.get_running_loop().time()
        if now - self._named < _NAMES_FOR and self._turns:
            return
        names = await self._tenancy.names()
        old = [name for name in self._turns if name in set(names)]
        self._turns = old + sorted(set(names) - set(old))
        self._live = {name: live for name, live in self._live.items() if name in names}
        self._named = now

    async def _look_at(self, tenant: str) -> bool:
        """Tidies a tenant's queue and claims one of its jobs, if there is room for it. Returns whether it did."""
        place = self._tenancy.place(tenant)
        context = Context(place.objects.now, self._ids, self._limits)
        entries = await self._drive(place, list_queue(place.keys))
        await self._remove_due(place, context, entries)
        live = [entry for entry in entries if entry.name.due is None]
        self._live[tenant] = [(entry.name.kind, entry.modified) for entry in live]
        known = self._known.get(tenant, {})
        seen: list[Seen] = []
        for some in batched(live, _AT_ONCE):
            looks = [looked_at(place.keys, entry, known.get(entry.key)) for entry in some]
            seen += await self._drive(place, side_by_side(looks))
        self._known[tenant] = {one.entry.key: one.job for one in seen if one.job is not None}
        for one in seen:
            if one.damaged:
                self._tell(one.entry.key, FhirStoreError(f"{one.damaged}: damaged; run fhirstore fsck"))
            await self._drive(place, tidied(place.keys, one, context=context))
        if len(self._runs) >= self._at_once:
            return False
        for one in claimable(seen, running=self._job_limits.running, kinds=frozenset(self._kinds)):
            if await self._claim(place, context, one):
                return True
        return False

    async def _remove_due(self, place: Place, context: Context, entries: list[Entry]) -> None:
        now = place.objects.now()
        due = [entry for entry in entries if entry.name.due is not None and entry.name.due < now]
        for entry in due[:_REMOVALS]:
            try:
                job = await self._drive(place, _found(place, entry))
                if job is not None:
                    await self._drive(place, remove(place.keys, job, entry, context=context))
            except FhirStoreError as error:
                self._tell(entry.key, error)

    async def _claim(self, place: Place, context: Context, seen: Seen) -> bool:
        kind, job = self._kinds[seen.entry.name.kind], seen.job
        if job is None or self._signals.is_running(job.state):
            return False
        try:
            metadata = decode_metadata((await place.objects.get(job.metadata)).body, job.metadata)
            lease = await self._drive(place, claim_existing(job.state, self._owner, context=context, length=kind.lease))
        except (FhirStoreError, ObjectNotFound) as error:
            self._tell(seen.entry.key, error)
            return False
        if not isinstance(lease, Lease):
            return False
        run = Run(
            kind,
            place,
            context=context,
            entry=seen.entry,
            keys=job,
            metadata=metadata,
            lease=lease,
            pacer=self._pacer,
        )
        task = asyncio.create_task(self._run(run, seen.entry.key), name=f"fhirstore-job-{seen.entry.name.id}")
        self._runs[task] = run
        self._signals.began(job.state, task)
        return True

    async def _run(self, run: Run, key: str) -> None:
        try:
            await run.to_end()
        except FhirStoreError as error:
            self._tell(key, error)
        finally:
            self._ran(run.place.tenant, run.kind, run.id, run.ended)
            task = asyncio.current_task()
            if task is not None:
                self._runs.pop(task, None)
            self._signals.work_waits()  # there is room for another run

    async def _drive(self, place: Place, protocol: Protocol[Result]) -> Result:
        return await drive(protocol, place.objects)

    def _tell(self, where: str, error: Exception) -> None:
        """Says what failed, once until it fails otherwise."""
        text = str(error) if isinstance(error, FhirStoreError) else type(error).__name__
        if self._said.get(where) != text:
            self._said[where] = text
            self._say(f"jobs of {where}: {text}" if where else f"jobs: {text}")


def _found(place: Place, entry: Entry) -> Protocol[JobKeys | None]:
    return find(place.keys, entry.name)
