"""Scenarios about identifiers: the same one created by many at once, by the dying, in transactions; moved about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

from fhirstore.commit.limits import Limits
from tests.simulation.model.machines import Machine, a_temper
from tests.simulation.model.process import Temper
from tests.simulation.model.task import Operation, Plan
from tests.simulation.scenarios.identified import Carry, Conditional, CreateAll, Seek, SeekAll
from tests.simulation.scenarios.operations import Write
from tests.simulation.scenarios.upkeep import Purge


def _form(chance: Random) -> str:
    return chance.choice(("system", "value"))


def _creation(chance: Random, value: str = "x") -> Conditional:
    return Conditional(chance.choice(("create", "create", "create", "put")), value, _form(chance))


def _claimed(chance: Random, limits: Limits) -> tuple[Machine, ...]:
    """Many create on the same condition at the same moment; some delete what is there, some look."""
    others: tuple[Operation, ...] = (Conditional("delete", "x"), Seek("x", _form(chance)), _creation(chance))
    return tuple(
        Machine(
            a_temper(chance, limits, crash=0.25),
            ([(chance.random() * 60, _creation(chance)), (chance.random() * 60, chance.choice(others))],),
        )
        for _ in range(chance.randint(3, 5))
    )


def _unclaimed(chance: Random, limits: Limits) -> tuple[Machine, ...]:
    """One who creates on a condition dies, or stops for long and is resumed; others come upon the claim."""
    at = chance.randint(1, 7)
    long = chance.choice((0.1, 0.2, 0.3, 0.5, 1.0, 1.3, 3.0)) * limits.window
    fate = (
        Temper(crash_at=at, back_after=chance.choice((None, 50.0)))
        if chance.random() < 0.4
        else replace(a_temper(chance, limits, crash=0.0), stops={at: long}, sends_first=chance.random() < 0.3)
    )
    first = Machine(fate, ([(0.0, _creation(chance)), (0.0, Seek("x"))],))
    others = tuple(
        Machine(
            a_temper(chance, limits, crash=0.1),
            ([(chance.random() * long, _creation(chance)), (chance.random() * 300, _creation(chance))],),
        )
        for _ in range(chance.randint(1, 3))
    )
    return (first, *others)


def _moved(chance: Random, limits: Limits) -> tuple[Machine, ...]:
    """Identifiers come, go and come back; lookups clean up behind them, while others write the same resources."""
    sets: tuple[tuple[str, ...], ...] = (("x",), ("y",), ("x", "y"), ())
    machines: list[Machine] = []
    for _ in range(chance.randint(2, 4)):
        plan: Plan = []
        for _ in range(3):
            id_, roll = chance.choice(("a", "a", "b")), chance.random()
            step: Operation
            if roll < 0.45:
                step = Carry(id_, chance.choice(sets))
            elif roll < 0.6:
                step = Seek(chance.choice("xxy"), _form(chance))
            elif roll < 0.7:
                step = SeekAll()
            elif roll < 0.8:
                step = Write(id_, "delete")
            elif roll < 0.85:
                step = Purge(id_)
            elif roll < 0.92:
                step = Conditional(chance.choice(("delete", "put")), chance.choice("xy"))
            else:
                step = Conditional("put", "x", id=chance.choice("abc"))
            plan.append((100.0 * chance.random(), step))
        machines.append(Machine(a_temper(chance, limits, crash=0.1), (plan,)))
    return tuple(machines)


def _bundled_claims(chance: Random, limits: Limits) -> tuple[Machine, ...]:
    """Transactions and single requests create on the same conditions; some die, some stop for long."""
    machines: list[Machine] = []
    for _ in range(chance.randint(2, 4)):
        steps: list[Operation] = [
            CreateAll(tuple(chance.sample("xyz", chance.randint(1, 3)))) if chance.random() < 0.7 else _creation(chance)
            for _ in range(2)
        ]
        if chance.random() < 0.3:
            steps[1] = Conditional("delete", chance.choice("xy"))
        plan: Plan = [(chance.random() * 80, step) for step in steps]
        machines.append(Machine(a_temper(chance, limits, crash=0.2, stop=0.2), (plan,)))
    return tuple(machines)


IDENTITY_FAVOURITES: dict[str, dict[str, float]] = {
    "_claimed": {"late": 0.04, "lost_answer": 0.03},
    "_unclaimed": {"late": 0.05},
    "_moved": {"late": 0.06, "duplicate": 0.08, "slow": 0.1},
    "_bundled_claims": {"late": 0.04, "lost_answer": 0.03},
}
"""Faults that a shape is after."""

IDENTIFYING: tuple[Callable[[Random, Limits], tuple[Machine, ...]], ...] = (
    _claimed,
    _unclaimed,
    _moved,
    _bundled_claims,
)
