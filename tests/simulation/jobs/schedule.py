"""One seed about jobs: it plays, faults end, every job must come to its end, then all is judged."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from random import Random

from fhirstore.commit.limits import Limits
from fhirstore.errors import Unavailable
from tests.simulation.jobs.operations import Cancel, Create, SweepJobs, Work, judged
from tests.simulation.jobs.truth import JobTruth
from tests.simulation.model.bucket import Bucket, opaque_etags
from tests.simulation.model.machines import Machine, a_temper, think
from tests.simulation.model.network import Network, Weather
from tests.simulation.model.process import Process, Temper
from tests.simulation.model.task import Call, Operation, Plan, Task, told
from tests.simulation.model.world import BEGINNING, World
from tests.simulation.scenarios.scenario import rates_of
from tests.simulation.schedule import Verdict

_LIMITS = Limits(window=2_000, apply=800, transaction_window=2_000, keep_transactions=30_000)
_MOST_REQUESTS = 20_000
_MOST_TIME = 3_600_000.0  # ms


def simulate_jobs(seed: int, trace: list[str] | None = None) -> Verdict:
    """Run the schedule of this seed. The same seed gives the same trace."""
    schedule = _Schedule(seed, trace)
    schedule.run()
    return schedule.verdict()


@dataclass(frozen=True, slots=True)
class _Plot:
    """What chance decides once: the limits on jobs, the lease in ms, the weather, and who does what."""

    most: int
    running: int
    lease: int
    weather: Weather
    machines: tuple[Machine, ...]


def _plot(chance: Random) -> _Plot:
    most, running = chance.choice((1, 2, 2, 3)), chance.choice((1, 2))
    lease = chance.choice((600, 1_500, 3_000))

    def work() -> Work:
        return Work(lease, running, chance.choice((0.0, 50.0, 0.8 * lease, 2.0 * lease)), chance.random() < 0.15)

    def plan(operations: list[Operation]) -> Plan:
        return [(think(chance, _LIMITS), operation) for operation in operations]

    def temper(crash: float) -> Temper:
        made = a_temper(chance, _LIMITS, crash=crash, stop=0.2)
        long = {at: chance.uniform(0.3, 3.0) * lease for at in made.stops}
        return replace(made, stops=long if chance.random() < 0.5 else made.stops)

    machines = [
        Machine(temper(0.15), tuple(plan([Create(most)]) for _ in range(chance.choice((1, 1, 2)))))
        for _ in range(chance.randint(1, 3))
    ]
    machines += [Machine(temper(0.3), (plan([work() for _ in range(3)]),)) for _ in range(chance.randint(1, 3))]
    if chance.random() < 0.7:
        wishes: list[Operation] = [Cancel(), Cancel(chance.random() < 0.6)]
        slowly: Plan = [(chance.random() * chance.choice((200.0, 4_000.0)), one) for one in wishes]
        machines.append(Machine(temper(0.1), (slowly,)))
    if chance.random() < 0.3:
        machines.append(Machine(temper(0.1), (plan([SweepJobs(), SweepJobs()]),)))
    weather = Weather(rates_of(chance), chance.choice((5.0, 10.0, 40.0)), chance.choice((300.0, 2_000.0)))
    return _Plot(most, running, lease, weather, tuple(machines))


class _Schedule:
    def __init__(self, seed: int, trace: list[str] | None) -> None:
        self.seed = seed
        self.world = World(seed, trace)
        chance = self.world.random
        self.plot = _plot(chance)
        self.bucket = Bucket(
            self.world,
            resolution=chance.choice((1, 1, 1_000)),
            tree_order=chance.random() < 0.3,
            opaque=opaque_etags(seed),
        )
        self.truth = JobTruth(self.world, self.bucket, most=self.plot.most)
        together = chance.random() < 0.25
        self.network = Network(self.world, self.bucket, _LIMITS, self.plot.weather, decides_together=together)
        self.calls: list[Call] = []
        self._busy = 0
        self._born = 0

    def run(self) -> None:
        """Play, heal, judge."""
        self.world.note("SCENARIO", f"seed {self.seed}: {self.plot}")
        for machine in self.plot.machines:
            self._start(machine)
        self.world.run(lambda: self._busy > 0 and self._within_bounds())
        healed = len(self.calls)
        self.world.note("HEALING", "no more faults")
        self.network.clear()
        work = Work(self.plot.lease, 1, 0.0)
        polls: Plan = [(1.1 * self.plot.lease, work) for _ in range(12)]
        late: Plan = [(40_000.0, work), (40_000.0, SweepJobs()), (40_000.0, work), (40_000.0, SweepJobs())]
        self._start(Machine(Temper(), ([(20_000.0, work), *polls, *late],)))
        self.world.run(self._within_bounds)
        if not self.world.violations:
            self.truth.check()
            for call in self.calls:
                self._judge(call, healing=call.number >= healed)

    def verdict(self) -> Verdict:
        """The figures of this schedule."""
        created = sum(bool(life.states) for life in self.truth.jobs.values())
        violations = [(self.seed, finding) for finding in self.world.violations]
        faults: Counter[str] = self.world.faults
        return Verdict(1, self.world.requests, len(self.calls), created, 0, 0, faults, violations)

    def _start(self, machine: Machine) -> None:
        process = Process(f"p{self._born}", self.world, self.network, _LIMITS, machine.temper)
        self._born += 1
        left = [len(machine.plans)]
        self._busy += left[0]
        self.world.note(process.name, f"starts, {machine.temper}")

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

    def _judge(self, call: Call, *, healing: bool) -> None:
        wrong = judged(call, self.truth)
        if isinstance(call.outcome, Exception) and (healing or not isinstance(call.outcome, Unavailable)):
            wrong.append(f"ended with {told(call.outcome)}")
        for finding in wrong:
            self.world.violated(f"{call.who} call {call.number} {call.operation} {finding}")
