"""What servers, workers and administrators do with jobs; each is a protocol of the library, or a few in a row."""

from __future__ import annotations

from dataclasses import dataclass

from fhirstore.commit.idempotent import stored
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Pause, Protocol
from fhirstore.commit.side_by_side import side_by_side
from fhirstore.format.keyspace import JobKeys
from fhirstore.jobs import progress
from fhirstore.jobs.lease import Lease, LeaseLost, checkpoint, claim_existing, end
from fhirstore.jobs.metadata import JobMetadata
from fhirstore.jobs.queue import Entry, create, find, list_queue
from fhirstore.jobs.removal import Seen, cancel, claimable, clear, finish, let_go, looked_at, remove, tidied
from fhirstore.jobs.state import COMPLETE, FAIL, GOING, LIVE, RELEASE, State
from fhirstore.upkeep.sweep.jobs import sweep_jobs
from tests.simulation.jobs.truth import KEYS, KIND, PARTS, JobTruth
from tests.simulation.model.process import Process
from tests.simulation.model.task import Call
from tests.simulation.model.truth import Truth

_ATTEMPTS = 4
_PAGE = 3


class _NothingToJudge:
    """What it was told is judged by `judged`, or by the truth alone."""

    def judge(self, call: Call, truth: Truth) -> list[str]:
        return []


@dataclass(frozen=True, slots=True)
class Create(_NothingToJudge):
    """A server creates a job. The outcome is whether it did."""

    most: int

    def start(self, process: Process, context: Context, call: Call) -> Protocol[bool]:
        return self._create(context)

    def _create(self, context: Context) -> Protocol[bool]:
        wanted = JobMetadata(kind=KIND, id="", created=context.now(), request={})
        made = yield from create(KEYS, wanted, prefix=None, most=self.most, context=context, work={})
        return made is not None


@dataclass(frozen=True, slots=True)
class Work(_NothingToJudge):
    """A worker looks at the queue, tidies, and runs one job. `slow`: ms per part. `stops`: hands back after a part."""

    lease: int
    running: int
    slow: float
    stops: bool = False

    def start(self, process: Process, context: Context, call: Call) -> Protocol[str]:
        return self._poll(context, f"w{call.number}")

    def _poll(self, context: Context, owner: str) -> Protocol[str]:
        entries = yield from list_queue(KEYS, page=_PAGE)
        for entry in entries:
            if entry.name.due is not None and entry.name.due < context.now():
                job = yield from find(KEYS, entry.name)
                if job is not None:
                    yield from remove(KEYS, job, entry, context=context)
        live = [entry for entry in entries if entry.name.due is None]
        seen: list[Seen] = yield from side_by_side([looked_at(KEYS, entry) for entry in live])
        for one in seen:
            yield from tidied(KEYS, one, context=context)
        for one in claimable(seen, running=self.running, kinds=frozenset({KIND})):
            if one.job is None:
                continue
            lease = yield from claim_existing(one.job.state, owner, context=context, length=self.lease)
            if isinstance(lease, Lease):
                try:
                    return (yield from self._run(one.entry, one.job, lease, context))
                except LeaseLost:
                    return "lost"
        return "idle"

    def _run(self, entry: Entry, job: JobKeys, lease: Lease, context: Context) -> Protocol[str]:
        epoch = lease.state.epoch
        if lease.state.attempts > _ATTEMPTS:
            yield from finish(KEYS, lease, entry, job, FAIL, work={})
            return "failed"
        found = yield from progress.take(job.progress("p"), epoch)
        keys = list(map(str, _listed(lease.state.work.get("keys"))))
        while len(keys) < PARTS:
            waited = 0.0
            while waited < self.slow:
                yield Pause(min(self.lease / 3, self.slow) / 1000)
                waited += self.lease / 3
                if lease.due(context.now()):
                    lease = yield from checkpoint(lease, context=context)
            key = f"{job.prefix}output/{len(keys)}.{epoch}"
            yield from stored(key, f"{len(keys)} by {lease.state.owner}".encode())
            keys.append(key)
            found = yield from progress.put(found, {"keys": keys})
            lease = yield from checkpoint(lease, context=context, work={"keys": keys})
            if self.stops:
                yield from end(lease, RELEASE)
                return "handed back"
        yield from finish(KEYS, lease, entry, job, COMPLETE, work={"keys": keys})
        return "completed"


@dataclass(frozen=True, slots=True)
class Cancel(_NothingToJudge):
    """An administrator cancels one of the live jobs, or removes one that has ended. The outcome: id and state then."""

    ended: bool = False

    def start(self, process: Process, context: Context, call: Call) -> Protocol[tuple[str, State] | None]:
        return self._cancel(process, context)

    def _cancel(self, process: Process, context: Context) -> Protocol[tuple[str, State] | None]:
        entries = yield from list_queue(KEYS, page=_PAGE)
        entries = [entry for entry in entries if (entry.name.due is not None) == self.ended]
        if not entries:
            return None
        entry = entries[int(len(entries) * process.world.random.random())]
        job = JobKeys(KEYS.job(KIND, entry.name.id))
        if self.ended:
            state = yield from let_go(KEYS, job, entry, context=context)
        else:
            state = yield from cancel(job, context=context)
        if state is None:
            return None
        if state.status in GOING:
            yield from clear(KEYS, job, entry, state)
        return entry.name.id, state


@dataclass(frozen=True, slots=True)
class SweepJobs(_NothingToJudge):
    """The sweeper's pass over the jobs."""

    def start(self, process: Process, context: Context, call: Call) -> Protocol[int]:
        return sweep_jobs(KEYS, context.now(), context=context, page=_PAGE)


def judged(call: Call, truth: JobTruth) -> list[str]:
    """What is wrong with what the call was told."""
    outcome = call.outcome
    if isinstance(call.operation, Create) and isinstance(outcome, bool):
        created = any(truth.life(token).states for token in call.tokens)
        if created != outcome:
            return [f"was told {outcome}, and the job was {'' if created else 'not '}created"]
    if isinstance(call.operation, Cancel) and isinstance(outcome, tuple):
        id_, state = outcome
        statuses = [one.status for one in truth.life(id_).states]
        if state.status in GOING and statuses[-1] not in GOING:
            return [f"was told {state.status}, and the job is {statuses[-1]}"]
        if state.status in LIVE:
            return ["was told that a cancelled job is live"]
    return []


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []
