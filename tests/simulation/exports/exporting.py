"""What clients and workers want of an export, run by the very steps of the library, and what must come of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import msgspec

from fhirstore.commit.idempotent import stored
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Absent, Get, Pause, Protocol, Put
from fhirstore.commit.reading import ask, look
from fhirstore.errors import FhirStoreError
from fhirstore.export.export import Export, file_key, manifest_key
from fhirstore.export.manifest import ExportManifest, decode_manifest
from fhirstore.export.progress import TaskProgress, task_progress
from fhirstore.export.request import Plan
from fhirstore.export.steps import Append, Ask, Begin, Close, Load, Note, Save, Step, Steps, Work
from fhirstore.export.tasks import Bounds
from fhirstore.fhir.definitions.load import definitions
from fhirstore.format.keyspace import JobKeys
from fhirstore.jobs import progress
from fhirstore.jobs.lease import LeaseLost, claim, end
from fhirstore.jobs.state import COMPLETE, COMPLETED, State
from fhirstore.objects.base import IF_ABSENT
from fhirstore.runs.files import WrittenFile
from tests.simulation.model.process import Process
from tests.simulation.model.task import Call
from tests.simulation.model.truth import KEYS, TYPE, Truth

BOUNDS = Bounds(part_bytes=1_000, part_count=2, at_once=2, ahead=2, page_size=2)
_PATIENCE = 400  # looks at a job that is not there yet, or that somebody else holds


def job_keys(job: str) -> JobKeys:
    """The keys of a job."""
    return JobKeys(f"bulk/export/{job}/")


@dataclass(frozen=True, slots=True)
class KickOff:
    """Start an export of the state at this time; if it is `after` another one, of what changed since that.

    `like`: the time is that of this resource's version, or `less` ms before, so that the bounds are met exactly.
    """

    job: str
    after: str | None = None
    like: str | None = None
    less: int = 0

    def start(self, process: Process, context: Context, call: Call) -> Protocol[Plan | None]:
        since: int | None = None
        if self.after is not None:
            before = yield from _planned(self.after)
            if before is None:
                return None
            since = before.at
        at = context.now()
        if self.like is not None:
            base, _ = yield from look(KEYS.resource(TYPE, self.like))
            at = base.record.t - self.less if base.record is not None and base.record.t else at
        plan = Plan(at=max(at, since or 0), types=(TYPE,), since=since)
        yield (Put(job_keys(self.job).metadata, msgspec.json.encode(plan), IF_ABSENT),)
        return (yield from _planned(self.job))

    def judge(self, call: Call, truth: Truth) -> list[str]:
        return []


@dataclass(frozen=True, slots=True)
class DoExport:
    """A worker claims the job and works on it, as often as that is needed or once. `hurry`: how likely it is told, at
    any time, that the files should be completed soon."""

    job: str
    to_end: bool = False
    hurry: float = 0.0

    def start(self, process: Process, context: Context, call: Call) -> Protocol[str]:
        plan = None
        for _ in range(_PATIENCE):
            plan = yield from _planned(self.job)
            if plan is not None:
                break
            yield Pause(0.2)
        if plan is None:
            return "never started"
        for _ in range(_PATIENCE):
            got = yield from claim(
                job_keys(self.job).state, context.ids.new(), context=context, length=context.limits.window
            )
            if not isinstance(got, State):
                lease, _ = got
                try:
                    yield from self._export(plan, lease.state.epoch, process, context)
                    yield from end(lease, COMPLETE)
                except LeaseLost:
                    pass
            elif got.status == COMPLETED:
                return "completed"
            if not self.to_end:
                break
            yield Pause(0.3)
        return "left"

    def _export(self, plan: Plan, epoch: int, process: Process, context: Context) -> Protocol[ExportManifest]:
        keys = job_keys(self.job)
        export = Export(plan, KEYS, keys, epoch, DEFINITIONS, context.limits, BOUNDS)
        taking = _Taking(keys, epoch, process, self.hurry)
        return (yield from taking.take(export.run()))

    def judge(self, call: Call, truth: Truth) -> list[str]:
        if call.ended is None or isinstance(call.outcome, str | FhirStoreError):
            return []
        return [f"ended with {call.outcome!r}"]


DEFINITIONS = definitions()


@dataclass(slots=True)
class _Taking:
    """Takes steps with requests of the simulated network alone. A file is one PUT."""

    keys: JobKeys
    epoch: int
    process: Process
    hurry: float
    _open: dict[str, tuple[str, list[bytes]]] = field(default_factory=dict)
    _progress: dict[str, progress.Progress] = field(default_factory=dict)

    def take(self, steps: Steps[ExportManifest]) -> Protocol[ExportManifest]:
        reply: object = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as ended:
                manifest: ExportManifest = ended.value
                return manifest
            reply = yield from self._step(step)

    def _step(self, step: Step) -> Protocol[object]:
        match step:
            case Ask(protocol):
                return (yield from protocol)
            case Begin():
                return None
            case Append(kind, name, lines):
                self._open.setdefault(kind, (name, []))[1].extend(lines)
            case Close():
                return (yield from self._close())
            case Work(do, _):
                return do()
            case Load(task):
                return (yield from self._load(task))
            case Save(task, saved):
                self._progress[task] = yield from progress.put(self._progress[task], saved.body())
            case Note():
                return self.process.world.random.random() < self.hurry
        return None

    def _load(self, task: str) -> Protocol[TaskProgress]:
        key = self.keys.progress(task)
        found = self._progress[task] = yield from progress.take(key, self.epoch)
        return task_progress(found.body, key)

    def _close(self) -> Protocol[dict[str, WrittenFile]]:
        written: dict[str, WrittenFile] = {}
        for kind, (name, lines) in self._open.items():
            body = b"".join(line + b"\n" for line in lines)
            key = file_key(self.keys, name)
            yield from stored(key, body)
            written[kind] = WrittenFile(
                name=name, key=key, size=len(body), sha256="", count=len(lines), raw_size=len(body)
            )
        self._open.clear()
        return written


def _planned(job: str) -> Protocol[Plan | None]:
    (reply,) = yield from ask(Get(job_keys(job).metadata))
    return None if isinstance(reply, Absent) else msgspec.json.decode(reply.body, type=Plan)


def judge_export(job: str, truth: Truth) -> list[str]:
    """What is wrong with the output of a job, in the light of what was truly committed."""
    keys, objects = job_keys(job), truth.bucket.objects
    if keys.metadata not in objects:
        return []
    plan = msgspec.json.decode(objects[keys.metadata].body, type=Plan)
    if manifest_key(keys) not in objects:
        return [f"{job}: never came to its end"]
    manifest = decode_manifest(objects[manifest_key(keys)].body, job)
    wrong: list[str] = []
    lines: Counter[bytes] = Counter()
    told: Counter[bytes] = Counter()
    for files, into in ((manifest.output, lines), (manifest.deleted, told)):
        for file in files:
            kept = objects.get(file_key(keys, file.name))
            if kept is None or len(kept.body) != file.size:
                wrong.append(f"{job}: {file.name} is not as the manifest says")
                continue
            into.update(kept.body.splitlines())
            if file.count > BOUNDS.part_count:
                wrong.append(f"{job}: {file.name} has {file.count} lines")
    if manifest.error:
        wrong.append(f"{job}: reports errors")
    deleted = Counter(
        entry["request"]["url"].encode()
        for line, times in told.items()
        for entry in msgspec.json.decode(line)["entry"] * times
    )
    true_lines, true_deletions = _expected(plan, truth)
    wrong += [f"{job}: output: {finding}" for finding in true_lines.unlike(lines)]
    return wrong + [f"{job}: deleted: {finding}" for finding in true_deletions.unlike(deleted)]


@dataclass(slots=True)
class _Expected:
    """`must`: what is there. `may`: what was purged meanwhile, so that it may be there. The same line may come from two
    resources of one transaction."""

    must: Counter[bytes] = field(default_factory=Counter)
    may: Counter[bytes] = field(default_factory=Counter)

    def add(self, line: bytes, *, purged: bool) -> None:
        (self.may if purged else self.must)[line] += 1

    def unlike(self, found: Counter[bytes]) -> list[str]:
        """What is missing, and what is too much."""
        missing, more = self.must - found, found - self.must - self.may
        return [f"missing: {missing}"] * bool(missing) + [f"too much: {more}"] * bool(more)


def _expected(plan: Plan, truth: Truth) -> tuple[_Expected, _Expected]:
    """The lines of the output, and the deleted resources."""
    lines, deleted = _Expected(), _Expected()
    for id_, history in truth.histories.items():
        visible = [one for one in history.versions if one.record.t <= plan.at]
        if not visible or (plan.since is not None and visible[-1].record.t <= plan.since):
            continue
        purged = visible[-1].purged < float("inf")
        resource = visible[-1].record.resource
        if resource is not None:
            lines.add(resource, purged=purged)
        elif plan.since is not None:
            deleted.add(f"{TYPE}/{id_}".encode(), purged=purged)
    return lines, deleted
