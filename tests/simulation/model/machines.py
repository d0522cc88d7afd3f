"""Machines of a scenario: what they are like, and what they are to do."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from fhirstore.commit.limits import Limits
from tests.simulation.model.process import Temper
from tests.simulation.model.task import Plan


@dataclass(frozen=True, slots=True)
class Machine:
    """One process: its temper, and a plan for each of its tasks."""

    temper: Temper
    plans: tuple[Plan, ...]


def skewed(chance: Random, limits: Limits) -> float:
    """How far a clock is off, in ms: mostly little, at times up to three windows either way."""
    roll = chance.random()
    reach = 50.0 if roll < 0.6 else 1.0 * limits.window if roll < 0.85 else 3.0 * limits.window
    return chance.uniform(-reach, reach)


def a_temper(chance: Random, limits: Limits, *, crash: float = 0.15, stop: float = 0.1) -> Temper:
    dies, stops = chance.random() < crash, chance.random() < stop
    return Temper(
        skew=skewed(chance, limits),
        learns=chance.choice((1.0, 1.0, 0.5, 0.0)),
        crash_at=chance.randint(1, 14) if dies else 0,
        back_after=chance.choice((None, 50.0, 1.0 * limits.window)) if dies else None,
        stops={chance.randint(1, 10): chance.uniform(0.05, 3.0) * limits.window} if stops else {},
        sends_first=chance.random() < 0.5,
        slept=chance.random() < 0.3,
    )


def think(chance: Random, limits: Limits) -> float:
    """Ms between a client's calls: mostly next to nothing."""
    roll = chance.random()
    return 100.0 * roll if roll < 0.92 else 2.0 * limits.window * chance.random()
