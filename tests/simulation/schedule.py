"""One seed, from start to verdict: the scenario plays, faults end, everything must settle, then all is judged.

Healing asks for no help: a fresh process with a true clock writes and reads every resource once more, over a network
without faults, while what was delayed still arrives. That must succeed within `_HEALING_REQUESTS` per call.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from fhirstore.commit.purge import Purged
from fhirstore.commit.single import WriteResult
from fhirstore.errors import Contention, Unavailable, VersionConflict, WriteOutcomeUnknown
from fhirstore.format.runs import Seal
from tests.simulation.model.bucket import Bucket, opaque_etags
from tests.simulation.model.machines import Machine
from tests.simulation.model.network import Network
from tests.simulation.model.process import Process, Temper
from tests.simulation.model.task import Call, Plan, Rest, Task, told
from tests.simulation.model.truth import TYPE, Truth
from tests.simulation.model.world import BEGINNING, World
from tests.simulation.scenarios.bundled import Transact, all_of
from tests.simulation.scenarios.identified import Conditional, Seek, healing
from tests.simulation.scenarios.operations import Read, VRead, Write
from tests.simulation.scenarios.scenario import RESOURCES, Plot, Scenario
from tests.simulation.scenarios.sealed import SweepRuns, WriteRun
from tests.simulation.scenarios.stored import PurgeBinary, SweepPayloads
from tests.simulation.scenarios.upkeep import Purge, Sweep

_HEALING_REQUESTS = 50
_HEALING_TIME = 15_000.0  # ms
_REFUSALS = (Contention, Unavailable, VersionConflict, WriteOutcomeUnknown)
_MOST_REQUESTS = 20_000
_MOST_TIME = 3_600_000.0  # ms


@dataclass(slots=True)
class Verdict:
    """What one schedule, or many, came to. `violations`: (seed, what)."""

    schedules: int = 0
    requests: int = 0
    calls: int = 0
    acknowledged: int = 0
    transactions: int = 0
    commits: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    violations: list[tuple[int, str]] = field(default_factory=list)

    def add(self, other: Verdict) -> None:
        """Sum up."""
        self.schedules += other.schedules
        self.requests += other.requests
        self.calls += other.calls
        self.acknowledged += other.acknowledged
        self.transactions += other.transactions
        self.commits += other.commits
        self.faults.update(other.faults)
        self.violations.extend(other.violations)


def simulate(seed: int, trace: list[str] | None = None, *, plot: Plot = RESOURCES) -> Verdict:
    """Run the schedule of this seed. The same seed gives the same trace, wherever and whenever."""
    schedule = Schedule(seed, trace, plot=plot)
    schedule.run()
    return schedule.verdict()


class Schedule:
    """The parts of one schedule, and who is still busy in it."""

    def __init__(self, seed: int, trace: list[str] | None = None, *, plot: Plot = RESOURCES) -> None:
        self.seed = seed
        self.world = World(seed, trace)
        self.plot: Scenario = plot.scenario(seed, self.world.random)
        self.bucket = Bucket(
            self.world,
            resolution=self.plot.resolution,
            tree_order=self.plot.tree_order,
            opaque=opaque_etags(seed // len(plot.shapes)),
        )
        self.truth = Truth(self.world, self.bucket, self.plot.limits)
        self.network = Network(
            self.world, self.bucket, self.plot.limits, self.plot.weather, decides_together=self.plot.decides_together
        )
        self.calls: list[Call] = []
        self._busy = 0  # tasks at work, and processes about to come back
        self._born = 0

    def run(self) -> None:
        """Play, heal, judge."""
        self.world.note("SCENARIO", f"seed {self.seed}: {self.plot.name}, {self.plot.limits}, {self.plot.weather}")
        for machine in self.plot.machines:
            self._start(machine)
        self.world.run(lambda: self._busy > 0 and self._within_bounds())
        healed = len(self.calls)
        self._heal()
        self.world.run(self._within_bounds)
        self._sweep_up()
        self.world.run(self._within_bounds)
        if not self.world.violations:
            self.truth.check()
            if self.plot.closing:
                self.truth.sealed_runs.check()
                purges = [call for call in self.calls if isinstance(call.operation, PurgeBinary)]
                remnants = any(not isinstance(call.outcome, Purged) for call in purges)
                self.truth.payloads.check(remnants=remnants)
            if self._upkeep(Sweep, Purge):
                cut_short = any(not isinstance(call.outcome, Purged) for call in self._upkeep(Purge))
                self.truth.check_swept(remnants=cut_short)
            for call in self.calls:
                self._judge(call, healing=call.number >= healed)

    def verdict(self) -> Verdict:
        """The figures of this schedule."""
        told = [call.outcome[0] for call in self.calls if isinstance(call.outcome, tuple)]
        sealed = [
            call for call in self.calls if isinstance(call.operation, WriteRun) and isinstance(call.outcome, Seal)
        ]
        bundles = [call.outcome for call in self.calls if isinstance(call.outcome, list)]
        return Verdict(
            1,
            self.world.requests,
            len(self.calls),
            sum(isinstance(outcome, WriteResult) and outcome.applied for outcome in told) + len(sealed),
            sum(any(outcome.applied for _, outcome, _ in bundle) for bundle in bundles),
            len(self.truth.landed),
            self.world.faults,
            [(self.seed, finding) for finding in self.world.violations],
        )

    def _start(self, machine: Machine) -> None:
        process = Process(f"p{self._born}", self.world, self.network, self.plot.limits, machine.temper)
        self._born += 1
        left = [len(machine.plans)]
        self._busy += left[0]
        self.world.note(process.name, f"starts, {machine.temper}")

        def done() -> None:
            left[0] -= 1
            self._busy -= 1

        tasks = [
            Task(process, f"{process.name}.{number}", plan, self.calls, done)
            for number, plan in enumerate(machine.plans)
        ]

        def crashed() -> None:
            self._busy -= left[0]
            plans = tuple(task.plan for task in tasks if task.plan)
            if machine.temper.back_after is not None and plans:
                self._busy += 1
                self.world.at(self.world.time + machine.temper.back_after, self._restart, plans)

        process.on_crash = crashed

    def _restart(self, plans: tuple[Plan, ...]) -> None:
        self._busy -= 1
        self._start(Machine(Temper(), plans))

    def _heal(self) -> None:
        self.world.note("HEALING", "no more faults")
        self.network.clear()
        plans: list[Plan] = []
        for id_, history in self.truth.histories.items():
            if history.keys.type != TYPE:
                continue  # the scenario's own `healing` does it
            newest = len(history.versions) + 1
            plan: Plan = [(0.0, Write(id_, "patch")), (0.0, Read(id_))]
            plan += [(0.0, VRead(id_, version)) for version in range(max(newest - 2, 1), newest + 2)]
            plans.append(plan)
        if any(isinstance(call.operation, Transact) for call in self.calls):
            plans.append([(0.0, all_of(list(self.truth.histories)))])
        plans += ([(0.0, operation) for operation in healing(value)] for value in sorted(self.world.asked))
        plans += self.plot.healing
        if plans:
            self._start(Machine(Temper(), tuple(plans)))

    def _sweep_up(self) -> None:
        """Where there was upkeep: one last sweep, when even what the fastest clock wrote is settled."""
        if self.plot.closing:
            self._start(Machine(Temper(), self.plot.closing))
        if self._upkeep(Sweep, Purge):
            self._start(Machine(Temper(), ([(20.0 * self.plot.limits.window, Sweep(last=True))],)))

    def _upkeep(self, *kinds: type[Sweep] | type[Purge]) -> list[Call]:
        return [call for call in self.calls if isinstance(call.operation, kinds)]

    def _within_bounds(self) -> bool:
        if self.world.requests > _MOST_REQUESTS or self.world.time > BEGINNING + _MOST_TIME:
            self.world.violated("does not come to an end")
            return False
        return True

    def _judge_healed(self, call: Call, operation: Transact) -> list[str]:
        bound = self._bound(operation) * len(operation.writes)
        if call.requests > bound or (call.ended or 0.0) - call.began > _HEALING_TIME:
            return [f"took {call.requests} requests and {(call.ended or 0.0) - call.began:.0f} ms without any fault"]
        refused = not isinstance(call.outcome, list)
        return [f"was refused without any fault: {told(call.outcome)}"] if refused else []

    def _bound(self, operation: object) -> int:
        """Requests for one call; who looks by an identifier reads all that ever carried it, twice perhaps.

        A transaction over everything is part of the healing, if there were any, and in everybody's way.
        """
        candidates = len(self.truth.histories) if isinstance(operation, Conditional | Seek) else 0
        bundled = any(isinstance(call.operation, Transact) for call in self.calls)
        return (2 if bundled else 1) * _HEALING_REQUESTS + 4 * candidates

    def _judge(self, call: Call, *, healing: bool) -> None:
        wrong = call.operation.judge(call, self.truth)
        if healing and not isinstance(call.operation, Rest):
            if call.ended is None:
                wrong.append("never ended")
            elif isinstance(call.operation, Sweep | SweepRuns | SweepPayloads):
                pass  # it takes what it takes
            elif isinstance(call.operation, Transact):
                wrong += self._judge_healed(call, call.operation)
            elif call.requests > self._bound(call.operation) or call.ended - call.began > _HEALING_TIME:
                wrong.append(f"took {call.requests} requests and {call.ended - call.began:.0f} ms without any fault")
            elif isinstance(call.operation, Write | Conditional) and isinstance(call.outcome, _REFUSALS):
                wrong.append(f"was refused without any fault: {told(call.outcome)}")
        for finding in wrong:
            self.world.violated(f"{call.who} call {call.number} {call.operation} {finding}")
