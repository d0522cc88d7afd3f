"""One seed: workers come and go, others write the same resources, the provider stops; then all is judged.

What must hold at the end, when a worker without faults has done what was left:

* of each line there is one version at most, and exactly one once there are results, which name it; of one resource
  they are in the order of the lines;
* nothing of the submission appears after its undoing is settled, and no version of it is current then;
* an undoing wrote over versions of the submission alone, each time what was there before;
* a line is reported as kept if and only if others wrote the version after its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from random import Random

import msgspec

from fhirstore.commit.limits import Limits
from tests.simulation.model.bucket import Bucket, opaque_etags
from tests.simulation.model.machines import Machine, a_temper, think
from tests.simulation.model.network import Network, Rates, Weather
from tests.simulation.model.process import Process, Temper
from tests.simulation.model.task import Call, Plan, Task
from tests.simulation.model.truth import Committed, Truth
from tests.simulation.model.world import BEGINNING, World
from tests.simulation.scenarios.operations import Write
from tests.simulation.schedule import Verdict
from tests.simulation.submissions.working import (
    FAMILY,
    MANIFESTS,
    TOKENS,
    Stop,
    Work,
    plan_key,
    results_key,
    undone_key,
)

_USUAL = Rates(0.01, 0.01, 0.005, 0.01, 0.015, 0.008, 0.01, 0.005, 0.005, 0.01, 0.02)
_LIMITS = (Limits(window=2_000, apply=800, transaction_window=2_000), Limits(transaction_window=5_000))
_IDS = ("a", "b", "c")
_MOST_REQUESTS = 30_000
_MOST_TIME = 3_600_000.0  # ms


class Schedule:
    """The parts of one schedule."""

    def __init__(self, seed: int, trace: list[str] | None = None) -> None:
        self.seed = seed
        self.world = World(seed, trace)
        chance = self.world.random
        self.limits = chance.choice(_LIMITS)
        weather = Weather(_USUAL.times(chance.choice((0.1, 1.0, 2.0))), chance.choice((5.0, 10.0, 40.0)), 2_000.0)
        self.bucket = Bucket(self.world, opaque=opaque_etags(seed))
        self.truth = Truth(self.world, self.bucket, self.limits)
        self.network = Network(self.world, self.bucket, self.limits, weather, decides_together=chance.random() < 0.3)
        self.calls: list[Call] = []
        self.stops = chance.random() < 0.75
        self.work = _work(chance)
        self._busy = 0
        self._born = 0

    def run(self) -> None:
        """Play, let a worker without faults do what is left, judge."""
        for machine in _machines(self.world.random, self.limits, self.work, stops=self.stops):
            self._start(machine)
        self.world.run(lambda: self._busy > 0 and self._within_bounds())
        self.network.clear()
        last: Plan = [(10.0 * self.limits.window, Work(self.work.lines, until_done=True))]
        self._start(Machine(Temper(), (last,)))
        self.world.run(self._within_bounds)
        if not self.world.violations:
            self.truth.check()
            for call in self.calls:
                for finding in call.operation.judge(call, self.truth):
                    self.world.violated(f"call {call.number}: {finding}")
            for finding in self._judge():
                self.world.violated(finding)

    def verdict(self) -> Verdict:
        """The figures of this schedule."""
        acknowledged = sum(call.ended is not None for call in self.calls)
        violations = [(self.seed, finding) for finding in self.world.violations]
        faults: Counter[str] = self.world.faults
        commits = len(self.truth.landed)
        return Verdict(1, self.world.requests, len(self.calls), acknowledged, 0, commits, faults, violations)

    # --- what must hold -------------------------------------------------------------------------------------

    def _judge(self) -> Iterable[str]:
        for manifest, lines in zip(MANIFESTS, self.work.lines, strict=False):
            for line, name in enumerate(lines):
                yield from self._judge_line(manifest, line, name)
        for id_ in _IDS:
            yield from self._judge_resource(id_)

    def _judge_line(self, manifest: str, line: int, name: str) -> Iterable[str]:
        versions = self.truth.history(name.lstrip("-")).versions
        mine = [one for one in versions if one.record.op.startswith(TOKENS[manifest].line(1, line))]
        what = f"{manifest} line {line} ({name})"
        if len(mine) > 1:
            yield f"{what} made {len(mine)} versions"
        results = self._stored(results_key(manifest))
        if results is not None:
            told = msgspec.json.decode(results, type=list[int])[line]
            if told != (mine[0].record.version if mine else 0):
                yield f"{what}: the results say version {told}, made were {[one.record.version for one in mine]}"
            if not mine and not name.startswith("-"):
                yield f"{what} was lost"
        elif self._stored(undone_key(manifest)) is None:
            yield f"{what}: neither results nor an undoing"
        undone = self._stored(undone_key(manifest))
        if undone is not None and self._stored(plan_key(manifest)) is not None and mine:
            all_told = msgspec.json.decode(undone, type=list[tuple[str, bool]])
            if line >= len(all_told):
                yield f"{what} was written after an undoing that knew no plan"
                return
            settled = self.bucket.objects[undone_key(manifest)].modified
            seen = [one for one in versions if one.at <= settled]
            yield from self._judge_told(what, seen, mine[0], all_told[line])

    def _judge_told(
        self, what: str, versions: list[Committed], mine: Committed, told: tuple[str, bool]
    ) -> Iterable[str]:
        above = [one.record.op for one in versions[mine.record.version :] if not FAMILY.wrote(one.record.op)]
        taken_back = bool(above) and FAMILY.undid(above[0])
        if taken_back and (told[0] == "kept" or told[1]):
            yield f"{what} was taken back, but is reported: {told}"
        ours = [one.record.deleted for one in versions if FAMILY.wrote(one.record.op)]
        if told[0] == "nothing" and ours and ours[-1]:
            return  # a tombstone over nothing needs no undoing, and may be overwritten at any time
        if above and not taken_back and told[0] != "kept" and not told[1]:
            yield f"{what} was changed by others, but is not reported: {told}"

    def _judge_resource(self, id: str) -> Iterable[str]:
        versions = self.truth.history(id).versions
        settled = [self.bucket.objects[undone_key(one)].modified for one in MANIFESTS if self._stored(undone_key(one))]
        lines = [one.record.op[:32] for one in versions if FAMILY.wrote(one.record.op)]
        for tokens in TOKENS.values():
            mine = [line for line in lines if line.startswith(tokens.manifest)]
            if mine != sorted(mine):
                yield f"{id}: the lines of a manifest were written in another order"
        everything = len(settled) == len(self.work.lines)
        for index, one in enumerate(versions):
            ours = FAMILY.wrote(one.record.op)
            if ours and everything and one.at > min(settled):
                yield f"{id}: version {one.record.version} of the submission came after its undoing"
            if FAMILY.undid(one.record.op):
                yield from self._judge_undoing(id, versions, index)
        if (
            everything
            and versions
            and FAMILY.wrote(versions[-1].record.op)
            and versions[-1].record.resource is not None
        ):
            yield f"{id}: a version of the submission is current after its undoing"

    def _judge_undoing(self, id: str, versions: list[Committed], index: int) -> Iterable[str]:
        made = versions[index].record
        if not FAMILY.wrote(versions[index - 1].record.op):
            yield f"{id}: the undoing made version {made.version} over one that is not the submission's"
        below = [one.record for one in versions[:index] if not FAMILY.wrote(one.record.op)]
        before = below[-1].resource if below else None
        if _members(before) != _members(made.resource):
            yield f"{id}: version {made.version} is not what was there before"

    def _stored(self, key: str) -> bytes | None:
        kept = self.bucket.objects.get(key)
        return None if kept is None else kept.body

    # --- machines -------------------------------------------------------------------------------------------

    def _start(self, machine: Machine) -> None:
        process = Process(f"p{self._born}", self.world, self.network, self.limits, machine.temper)
        self._born += 1
        left = [len(machine.plans)]
        self._busy += left[0]

        def done() -> None:
            left[0] -= 1
            self._busy -= 1

        for number, plan in enumerate(machine.plans):
            Task(process, f"{process.name}.{number}", plan, self.calls, done)

        def crashed() -> None:
            self._busy -= left[0]

        process.on_crash = crashed

    def _within_bounds(self) -> bool:
        if self.world.requests > _MOST_REQUESTS or self.world.time > BEGINNING + _MOST_TIME:
            self.world.violated("does not come to an end")
            return False
        return True


def _work(chance: Random) -> Work:
    if chance.random() < 0.3:  # a line that writes nothing, and others of the same resource
        id_ = chance.choice(_IDS)
        return Work(((f"-{id_}", id_, *((f"-{id_}",) if chance.random() < 0.3 else ())),))
    manifests = [
        tuple(chance.choice(("", "", "", "-")) + chance.choice(_IDS) for _ in range(chance.randint(1, 3)))
        for _ in range(chance.randint(1, 2))
    ]
    return Work(tuple(manifests))


def _machines(chance: Random, limits: Limits, work: Work, *, stops: bool) -> Iterable[Machine]:
    """Workers one after the other, each dead or asleep before its end, or not; others; the provider."""
    lease = 3.0 * limits.window
    began, first = 0.0, chance.choice((_mortal, _sleeper, _planner))
    for number in range(chance.randint(1, 3)):
        temper = (_mortal if number else first)(chance, limits)
        yield Machine(temper, ([(began, work)],))
        asleep = first is _sleeper and not number
        began += (chance.uniform(1.0, 1.1) if asleep else chance.choice((0.3, 1.02, 1.05, 1.2, 1.5))) * lease
    for _ in range(chance.randint(0, 2)):
        plan: Plan = [
            (think(chance, limits) + chance.random() * chance.choice((200.0, began)), _foreign(chance))
            for _ in range(chance.randint(1, 3))
        ]
        yield Machine(a_temper(chance, limits, crash=0.1), (plan,))
    if stops:
        at = chance.random() * chance.choice((300.0, lease, began))
        yield Machine(Temper(), ([(at, Stop())],))
        if chance.random() < 0.5:
            then: Plan = [(at + 500.0 * chance.random(), _foreign(chance)), (50.0 * chance.random(), _foreign(chance))]
            yield Machine(a_temper(chance, limits, crash=0.1), (then,))


def _mortal(chance: Random, limits: Limits) -> Temper:
    """A worker makes more requests than a client does, so its fate may come later; it may sleep through its lease."""
    temper = a_temper(chance, limits, crash=0.5, stop=0.5)
    return replace(
        temper,
        crash_at=chance.randint(1, 40) if temper.crash_at else 0,
        back_after=None,
        stops={chance.randint(3, 30): chance.uniform(0.5, 6.0) * limits.window for _ in temper.stops},
    )


def _sleeper(chance: Random, limits: Limits) -> Temper:
    """Sleeps until its lease is nearly over, and once more with an attempt in its hands."""
    at = chance.randint(4, 16)
    stops = {
        at: chance.uniform(2.6, 3.0) * limits.window,
        at + chance.randint(1, 3): chance.uniform(0.1, chance.choice((0.9, 3.0))) * limits.window,
    }
    return Temper(skew=chance.uniform(-50.0, 50.0), stops=stops, sends_first=False)


def _planner(chance: Random, limits: Limits) -> Temper:
    """Sleeps through its lease after it has seen that there is no plan yet."""
    return Temper(stops={chance.randint(4, 8): chance.uniform(3.0, 8.0) * limits.window}, sends_first=True)


def _foreign(chance: Random) -> Write:
    return Write(chance.choice(_IDS), chance.choice(("update", "update", "delete")), recall=chance.random() < 0.3)


def _members(content: bytes | None) -> dict[str, object] | None:
    if content is None:
        return None
    members = msgspec.json.decode(content, type=dict[str, object])
    return {name: value for name, value in members.items() if name not in ("id", "meta")}


def simulate_submissions(seed: int, trace: list[str] | None = None) -> Verdict:
    """Run the schedule of this seed."""
    schedule = Schedule(seed, trace)
    schedule.run()
    return schedule.verdict()
