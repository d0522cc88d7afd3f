"""Scenarios about sealed runs: one id written by many at once, by the dying and the late; swept, read and deleted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

from fhirstore.commit.limits import Limits
from tests.simulation.model.machines import Machine, a_temper, skewed, think
from tests.simulation.model.process import Temper
from tests.simulation.model.task import Operation, Plan
from tests.simulation.scenarios.scenario import Plot, Scenario, weather
from tests.simulation.scenarios.sealed import DeleteRun, ListRuns, ReadRun, SweepRuns, WriteRun

_LIMITS = (
    Limits(run=20_000),
    Limits(window=2_000, apply=800, run=6_000),
)


def _writing(chance: Random, limits: Limits, run_id: str) -> WriteRun:
    slow = chance.choice((0.0, 0.0, 50.0, 0.2 * limits.run, 0.45 * limits.run))
    return WriteRun(run_id, chance.choice((1, 1, 2)), (slow, slow))


def _looking(chance: Random, run_id: str) -> Operation:
    return ReadRun(run_id) if chance.random() < 0.7 else ListRuns()


def _sweeping(chance: Random) -> SweepRuns:
    return SweepRuns(chance.choice((1, 2, 50)), chance.choice((3, 3, 50)))


def _readers(chance: Random, limits: Limits, run_id: str) -> Machine:
    plan: Plan = [
        (chance.random() * chance.choice((100.0, 0.3 * limits.run)), _looking(chance, run_id)) for _ in range(3)
    ]
    return Machine(a_temper(chance, limits), (plan,))


def _sweepers(chance: Random, limits: Limits) -> Machine:
    """Passes at any time, and when the time of the first writers is just over."""
    plan: Plan = [(chance.random() * limits.run, _sweeping(chance)) for _ in range(3)]
    plan[1] = (limits.run * chance.uniform(0.4, 1.0), plan[1][1])
    return Machine(a_temper(chance, limits, crash=0.1), (plan,))


def _contended(chance: Random, limits: Limits) -> tuple[Machine, ...]:
    """Many write one run at the same moment, some again and again; others read it."""
    writers = tuple(
        Machine(
            a_temper(chance, limits, crash=0.25),
            ([(think(chance, limits), _writing(chance, limits, "b")) for _ in range(chance.choice((1, 2)))],),
        )
        for _ in range(chance.randint(2, 4))
    )
    return (*writers, _readers(chance, limits, "b"), *((_sweepers(chance, limits),) if chance.random() < 0.4 else ()))


def _abandoned(chance: Random, limits: Limits) -> tuple[Machine, ...]:
    """A writer dies, or stops for long and is resumed; others write the run again, sweepers clean up."""
    at = chance.randint(1, 12)
    long = chance.choice((0.1, 0.5, 0.9, 1.0, 1.1, 1.5)) * limits.run
    fate = (
        Temper(crash_at=at, back_after=chance.choice((None, 50.0)))
        if chance.random() < 0.4
        else replace(a_temper(chance, limits, crash=0.0), stops={at: long}, sends_first=chance.random() < 0.3)
    )
    first = Machine(fate, ([(0.0, _writing(chance, limits, "b"))],))
    others = tuple(
        Machine(a_temper(chance, limits, crash=0.1), ([(chance.random() * 1.2 * long, _writing(chance, limits, "b"))],))
        for _ in range(chance.randint(0, 2))
    )
    return (first, *others, _sweepers(chance, limits), _readers(chance, limits, "b"))


def _hurried(chance: Random, limits: Limits) -> tuple[Machine, ...]:
    """Writers send their seal when their time is almost over, or just over; sweepers come at that moment."""
    writers = []
    for _ in range(chance.choice((1, 1, 2))):
        slow, share = limits.run - chance.uniform(-100.0, 600.0), chance.choice((0.0, 0.0, 0.3, 0.5))
        write = WriteRun("b", 1, (share * slow, (1.0 - share) * slow))
        writers.append(Machine(Temper(skew=skewed(chance, limits)), ([(50.0 * chance.random(), write)],)))
    passes: Plan = [(limits.run * chance.uniform(0.97, 1.02), _sweeping(chance))]
    passes += [(chance.random() * 0.3 * limits.apply, SweepRuns(50)) for _ in range(8)]
    return (*writers, Machine(Temper(), (passes,)), _readers(chance, limits, "b"))


def _deleted(chance: Random, limits: Limits) -> tuple[Machine, ...]:
    """Runs are sealed and deleted, while late writers of the same id come, and readers read."""
    writers = tuple(
        Machine(
            a_temper(chance, limits, stop=0.3),
            ([(chance.random() * 200, _writing(chance, limits, "b")), (0.0, _writing(chance, limits, "a"))],),
        )
        for _ in range(chance.randint(1, 3))
    )
    deleting = tuple(
        Machine(
            a_temper(chance, limits, crash=0.3),
            ([(chance.random() * chance.choice((500.0, 0.5 * limits.run)), DeleteRun("b")) for _ in range(2)],),
        )
        for _ in range(chance.choice((1, 1, 2)))
    )
    return (*writers, *deleting, _readers(chance, limits, "b"), _sweepers(chance, limits))


RUN_SHAPES: tuple[Callable[[Random, Limits], tuple[Machine, ...]], ...] = (_contended, _abandoned, _hurried, _deleted)

_FAVOURITES: dict[str, dict[str, float]] = {
    "_contended": {"late": 0.05, "lost_answer": 0.03},
    "_abandoned": {"late": 0.05, "reset": 0.03},
    "_hurried": {"late": 0.05, "slow": 0.15},
    "_deleted": {"late": 0.05, "duplicate": 0.08},
}
"""Faults that a shape is after."""


def run_scenario(seed: int, chance: Random) -> Scenario:
    """The scenario of this seed, about sealed runs.

    In the end each run is written and read once more, while a sweeper passes; and when the time of all writers is over,
    everything is swept, in few large steps or in many small ones.
    """
    shape = RUN_SHAPES[seed % len(RUN_SHAPES)]
    limits = chance.choice(_LIMITS)
    skies = weather(chance, limits, _FAVOURITES.get(shape.__name__, {}))
    healing: list[Plan] = [[(0.0, WriteRun(run_id, last=True)), (0.0, ReadRun(run_id, last=True))] for run_id in "abc"]
    healing.append([(chance.random() * 50, _sweeping(chance)) for _ in range(4)])
    swept: Plan = [(0.0, SweepRuns(500, 50))] * 2
    if chance.random() < 0.5:
        swept = [(0.0, SweepRuns(1, chance.choice((3, 4, 5, 6))))] * 20
    return Scenario(
        shape.__name__.strip("_"),
        limits,
        skies,
        shape(chance, limits),
        resolution=chance.choice((1, 1, 1, 1_000)),
        tree_order=chance.random() < 0.3,
        healing=tuple(healing),
        closing=([(3.0 * limits.run + 4.0 * limits.window, SweepRuns()), *swept],),
    )


RUNS = Plot("runs", run_scenario, RUN_SHAPES)
