"""A worker of a submission's job, as protocols: it claims the job, writes the lines once, or undoes them if stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from fhirstore.commit.attempt import Base
from fhirstore.commit.intents import base_for
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Absent, Get, Pause, Protocol, Put
from fhirstore.commit.reading import ask
from fhirstore.errors import Contention, Unavailable, WriteOutcomeUnknown
from fhirstore.interactions.resources import deletion, update
from fhirstore.jobs.lease import Lease, LeaseLost, claim, end, put_once
from fhirstore.jobs.state import RELEASE
from fhirstore.objects.base import Written
from fhirstore.submit.once import write_once
from fhirstore.submit.segment import Plan, PlannedWrite, decode_plan
from fhirstore.submit.standing import Standing
from fhirstore.submit.tokens import Family, Tokens
from fhirstore.submit.undo import undo
from tests.simulation.model.process import Process
from tests.simulation.model.task import Call
from tests.simulation.model.truth import KEYS, TYPE, Truth

STATE, STOPPED = "bulk/submit/x/y/state.json", "bulk/submit/x/y/stopped"
MANIFESTS = ("m1", "m2")
TOKENS = {name: Tokens.of("s|x", "y", "job", number) for number, name in enumerate(MANIFESTS, 1)}
FAMILY = Family(frozenset(tokens.manifest for tokens in TOKENS.values()), TOKENS["m1"].undoing)


def plan_key(manifest: str) -> str:
    return f"bulk/submit/x/y/changes/{manifest}"


def results_key(manifest: str) -> str:
    return f"bulk/submit/x/y/results/{manifest}"


def undone_key(manifest: str) -> str:
    return f"bulk/submit/x/y/undo/{manifest}"


@dataclass(slots=True)
class _Job:
    """What a `Standing` asks of a job."""

    process: Process
    context: Context
    lease: Lease
    place: object = None
    keys: object = None
    metadata: object = None
    work: dict[str, object] = field(default_factory=dict)

    @property
    def epoch(self) -> int:
        return self.lease.state.epoch

    @property
    def expires(self) -> int:
        return self.lease.state.expires

    def now(self) -> int:
        return self.process.now()


@dataclass(frozen=True, slots=True)
class Stop:
    """The provider stops the submission."""

    def start(self, process: Process, context: Context, call: Call) -> Protocol[bool]:
        while True:
            (reply,) = yield (Put(STOPPED, b"stopped"),)
            if isinstance(reply, Written):
                return True
            yield Pause(0.05)

    def judge(self, call: Call, truth: Truth) -> list[str]:
        return []


@dataclass(frozen=True, slots=True)
class Work:
    """One run of the job. `lines`: for each manifest the resource of each line; a `-` before it deletes.

    `until_done`: it is tried again until there is nothing left to do.
    """

    lines: tuple[tuple[str, ...], ...]
    until_done: bool = False

    def start(self, process: Process, context: Context, call: Call) -> Protocol[str]:
        while True:
            try:
                done = yield from self._run(process, context, call)
            except (Contention, LeaseLost, Unavailable, WriteOutcomeUnknown):
                done = "failed"
            if not self.until_done or done in ("ingested", "undone"):
                return done
            yield Pause(0.2)

    def _run(self, process: Process, context: Context, call: Call) -> Protocol[str]:
        got = yield from claim(STATE, f"w{call.number}", context=context, length=3 * context.limits.window)
        if not isinstance(got, tuple):
            return "held"
        lease, _ = got
        standing = Standing(_Job(process, context, lease))  # type: ignore[arg-type]
        try:
            for number, manifest in enumerate(MANIFESTS[: len(self.lines)]):
                if (yield from _there(STOPPED)):
                    break
                yield from self._ingest(manifest, self.lines[number], standing)
            else:
                if not (yield from _there(STOPPED)):
                    yield from end(lease, RELEASE)
                    return "ingested"
            yield from _quiet(standing)
            for manifest in reversed(MANIFESTS[: len(self.lines)]):
                yield from self._undo(manifest, standing)
            yield from end(lease, RELEASE)
            return "undone"
        finally:
            standing.end()

    def _ingest(self, manifest: str, lines: tuple[str, ...], standing: Standing) -> Protocol[None]:
        context = standing.context
        if (yield from _there(results_key(manifest))):
            return
        body = yield from _read(plan_key(manifest))
        bases: dict[str, Base] = {}
        if body is not None:
            yield from _quiet(standing)
            if (yield from _there(results_key(manifest))):
                return
        else:
            writes: list[PlannedWrite] = []
            for line, name in enumerate(lines):
                id_ = name.lstrip("-")
                base = bases[id_] = yield from base_for(KEYS.resource(TYPE, id_), context)
                writes.append(PlannedWrite(line, 0, TYPE, id_, base.version))
            mine = Plan(raw="", first=1, start=0, end=0, count=len(lines), writes=tuple(writes)).encode()
            body = yield from put_once(plan_key(manifest), mine)
            if body != mine:
                bases.clear()
        plan, after = decode_plan(body, plan_key(manifest)), []
        for write, name in zip(plan.writes, lines, strict=True):
            done = yield from write_once(
                KEYS.resource(TYPE, write.id),
                deletion() if name.startswith("-") else update(_content(manifest, write.line)),
                TOKENS[manifest].line(1, write.line),
                clean=write.before,
                context=context,
                base=bases.pop(write.id, None),
            )
            after.append(done.version)
        yield from put_once(results_key(manifest), msgspec.json.encode(after), until=standing.until)

    def _undo(self, manifest: str, standing: Standing) -> Protocol[None]:
        context = standing.context
        if (yield from _there(undone_key(manifest))):
            return
        body = yield from _read(plan_key(manifest))
        made = yield from _read(results_key(manifest))
        after = [] if made is None else msgspec.json.decode(made, type=list[int])
        told: list[tuple[str, bool]] = []
        for number, write in enumerate(() if body is None else decode_plan(body, plan_key(manifest)).writes):
            if after and not after[number]:
                told.append(("nothing", False))
                continue
            undone = yield from undo(
                KEYS.resource(TYPE, write.id),
                FAMILY,
                TOKENS[manifest].line(1, write.line),
                before=write.before,
                after=after[number] if after else 0,
                context=context,
            )
            told.append((undone.outcome, undone.built_on))
        yield from put_once(undone_key(manifest), msgspec.json.encode(told), until=standing.until)

    def judge(self, call: Call, truth: Truth) -> list[str]:
        if self.until_done and call.outcome not in ("ingested", "undone"):
            return [f"never came to its end: {call.outcome!r}"]
        return []


def _content(manifest: str, line: int) -> Callable[[int, int], bytes]:
    content = b'{"manifest":"%s","line":%d}' % (manifest.encode(), line)
    return lambda _version, _t: content


def _quiet(standing: Standing) -> Protocol[None]:
    while (left := standing.quiet_after - standing.context.now()) >= 0:
        yield Pause(left / 1000 + 0.001)


def _read(key: str) -> Protocol[bytes | None]:
    (reply,) = yield from ask(Get(key))
    return None if isinstance(reply, Absent) else reply.body


def _there(key: str) -> Protocol[bool]:
    return (yield from _read(key)) is not None
