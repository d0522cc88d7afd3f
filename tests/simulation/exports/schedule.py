"""One seed: writers and transactions, exports kicked off among them, workers that die, sleep and overlap; then judged.

The shapes take turns. In all of them a chain of two exports is made, the second of what changed since the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from random import Random

from fhirstore.commit.limits import Limits
from tests.simulation.exports.exporting import DoExport, KickOff, judge_export
from tests.simulation.model.machines import Machine, a_temper, think
from tests.simulation.model.network import Rates, Weather
from tests.simulation.model.process import Temper
from tests.simulation.model.task import Call, Plan
from tests.simulation.scenarios.bundled import Transact
from tests.simulation.scenarios.operations import Write
from tests.simulation.scenarios.scenario import USUAL, Plot, Scenario
from tests.simulation.scenarios.transactions import with_transactions
from tests.simulation.scenarios.upkeep import Purge, Sweep
from tests.simulation.schedule import Schedule, Verdict

IDS = ("a", "a-b", "b", "c", "c.d")
FIRST, SECOND = "first", "second"


def _write(chance: Random) -> Write:
    return Write(chance.choice(IDS), chance.choice(("update", "update", "patch", "delete")))


def _transact(chance: Random) -> Transact:
    ids = chance.sample(IDS, chance.randint(2, 3))
    return Transact(tuple(Write(id_, chance.choice(("update", "patch", "delete"))).unless_patch() for id_ in ids))


def _writers(chance: Random, limits: Limits, *, crash: float = 0.1) -> tuple[Machine, ...]:
    """Some write at once, and go on while exports are made."""
    begin: Plan = [(chance.random() * 20, Write(id_, "update")) for id_ in IDS]
    long = 2.0 * limits.settled
    going_on = tuple(
        Machine(
            a_temper(chance, limits, crash=crash),
            (
                [
                    (chance.random() * long / 3, _transact(chance) if chance.random() < 0.4 else _write(chance))
                    for _ in range(4)
                ],
            ),
        )
        for _ in range(chance.randint(2, 3))
    )
    return (Machine(Temper(), (begin,)), *going_on)


def _kick_off(chance: Random, limits: Limits) -> Machine:
    between = chance.random() * limits.settled
    like = [chance.choice((None, None, *IDS)) for _ in range(2)]
    plan: Plan = [
        (chance.uniform(50, 600), KickOff(FIRST, like=like[0], less=chance.choice((0, 1)))),
        (between, KickOff(SECOND, after=FIRST, like=like[1])),
    ]
    return Machine(a_temper(chance, limits, crash=0.0, stop=0.0), (plan,))


def _workers(chance: Random, limits: Limits, tempers: Iterable[Temper]) -> tuple[Machine, ...]:
    def plans() -> tuple[Plan, ...]:
        return tuple(
            [(think(chance, limits), DoExport(job, hurry=chance.choice((0.0, 0.3))))] * 2 for job in (FIRST, SECOND)
        )

    return tuple(Machine(temper, plans()) for temper in tempers)


def _calm(chance: Random, limits: Limits) -> tuple[Machine, ...]:
    """One worker, writers all around."""
    return (*_writers(chance, limits), _kick_off(chance, limits), *_workers(chance, limits, [Temper()]))


def _dying(chance: Random, limits: Limits) -> tuple[Machine, ...]:
    """Workers die anywhere, and come back."""
    tempers = [
        Temper(crash_at=chance.randint(5, 90), back_after=chance.choice((50.0, 0.5 * limits.window))) for _ in range(2)
    ]
    return (*_writers(chance, limits), _kick_off(chance, limits), *_workers(chance, limits, tempers))


def _zombies(chance: Random, limits: Limits) -> tuple[Machine, ...]:
    """Workers are stopped for longer than their lease, while others take over; what they had sent arrives."""
    tempers = [
        Temper(
            stops={chance.randint(5, 80): chance.uniform(0.5, 3.0) * limits.window for _ in range(3)},
            sends_first=chance.random() < 0.5,
            slept=chance.random() < 0.3,
        )
        for _ in range(3)
    ]
    return (*_writers(chance, limits), _kick_off(chance, limits), *_workers(chance, limits, tempers))


def _skewed(chance: Random, limits: Limits) -> tuple[Machine, ...]:
    """Clocks of writers, clients and workers are wrong by windows."""
    tempers = [a_temper(chance, limits, crash=0.2, stop=0.2) for _ in range(2)]
    return (*_writers(chance, limits, crash=0.3), _kick_off(chance, limits), *_workers(chance, limits, tempers))


def _purged(chance: Random, limits: Limits) -> tuple[Machine, ...]:
    """Resources are purged meanwhile, and a sweeper removes what attempts have left."""
    purges: Plan = [(chance.random() * limits.settled, Purge(chance.choice(IDS))) for _ in range(2)]
    tempers = [a_temper(chance, limits, crash=0.2) for _ in range(2)]
    purging = Machine(a_temper(chance, limits), (purges,))
    sweeping = Machine(Temper(), ([(limits.settled + chance.random() * limits.settled, Sweep())],))
    return (*_writers(chance, limits), purging, sweeping, _kick_off(chance, limits), *_workers(chance, limits, tempers))


SHAPES: tuple[Callable[[Random, Limits], tuple[Machine, ...]], ...] = (_calm, _dying, _zombies, _skewed, _purged)

_LIMITS = Limits(window=2_000, apply=800, transaction_window=2_000)


def scenario(seed: int, chance: Random) -> Scenario:
    """The scenario of this seed."""
    shape = SHAPES[seed % len(SHAPES)]
    limits = with_transactions(_LIMITS)
    rates: Rates = USUAL.times(chance.choice((0.1, 0.1, 0.5)))
    if chance.random() < 0.5:
        rates = replace(rates, late=0.08, slow=0.1)
    return Scenario(
        shape.__name__.strip("_"),
        limits,
        Weather(rates, chance.choice((5.0, 10.0)), chance.choice((300.0, 2_000.0))),
        shape(chance, limits),
        resolution=chance.choice((1, 1, 1_000)),
        tree_order=chance.random() < 0.5,
        decides_together=seed // len(SHAPES) % 4 == 3,
    )


EXPORTS = Plot("exports", scenario, SHAPES)


class ExportSchedule(Schedule):
    """A schedule with exports: at the end, workers without faults finish them, and their output is judged."""

    def __init__(self, seed: int, trace: list[str] | None = None) -> None:
        super().__init__(seed, trace, plot=EXPORTS)

    def _heal(self) -> None:
        super()._heal()
        plans: tuple[Plan, ...] = tuple([(0.0, DoExport(job, to_end=True))] for job in (FIRST, SECOND))
        self._start(Machine(Temper(), plans))

    def _judge(self, call: Call, *, healing: bool) -> None:
        super()._judge(call, healing=healing and not isinstance(call.operation, DoExport))

    def run(self) -> None:
        """Play, heal, judge."""
        super().run()
        if not self.world.violations:
            for job in (FIRST, SECOND):
                for finding in judge_export(job, self.truth):
                    self.world.violated(finding)


def simulate_exports(seed: int, trace: list[str] | None = None) -> Verdict:
    """Run the schedule of this seed."""
    schedule = ExportSchedule(seed, trace)
    schedule.run()
    return schedule.verdict()
