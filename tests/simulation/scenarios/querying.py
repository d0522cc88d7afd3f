"""Scenarios about conditions by any search parameters: claims on the query, and what the log leads to."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from fhirstore.commit.limits import Limits
from tests.simulation.model.machines import Machine, a_temper
from tests.simulation.model.task import Operation, Plan
from tests.simulation.scenarios.identified import Carry, Conditional, CreateAll, Seek
from tests.simulation.scenarios.operations import Write
from tests.simulation.scenarios.scenario import LIMITS, Plot, Scenario, weather
from tests.simulation.scenarios.transactions import with_transactions
from tests.simulation.scenarios.upkeep import Purge

_FORM = "query"
_LATE = {"late": 0.04, "lost_answer": 0.03}


def _creation(chance: Random, value: str = "x") -> Conditional:
    return Conditional(chance.choice(("create", "create", "create", "put")), value, _FORM)


def _together(chance: Random, limits: Limits) -> tuple[Machine, ...]:
    """Many create on one query at the same moment, alone and in transactions; some die; some look, or delete."""
    machines: list[Machine] = []
    for _ in range(chance.randint(3, 5)):
        first: Operation = CreateAll(("x",), _FORM) if chance.random() < 0.3 else _creation(chance)
        second = chance.choice((Conditional("delete", "x", _FORM), Seek("x", _FORM), _creation(chance)))
        plan: Plan = [(chance.random() * 60, first), (chance.random() * 60, second)]
        machines.append(Machine(a_temper(chance, limits, crash=0.25), (plan,)))
    return tuple(machines)


def _meanwhile(chance: Random, limits: Limits) -> tuple[Machine, ...]:
    """What matches is changed, deleted and purged by others, between a search and what it leads to."""
    machines: list[Machine] = []
    for _ in range(chance.randint(2, 4)):
        plan: Plan = []
        for _ in range(3):
            id_, roll = chance.choice("aab"), chance.random()
            step: Operation
            if roll < 0.4:
                step = Carry(id_, chance.choice((("x",), ("y",), ("x", "y"), ())))
            elif roll < 0.6:
                step = Seek(chance.choice("xxy"), _FORM)
            elif roll < 0.7:
                step = Write(id_, "delete")
            elif roll < 0.75:
                step = Purge(id_)
            else:
                step = Conditional(chance.choice(("delete", "put")), chance.choice("xy"), _FORM)
            plan.append((100.0 * chance.random(), step))
        machines.append(Machine(a_temper(chance, limits, crash=0.1), (plan,)))
    return tuple(machines)


def _in_transactions(chance: Random, limits: Limits) -> tuple[Machine, ...]:
    """Transactions create on several queries each, in part the same ones."""
    machines: list[Machine] = []
    for _ in range(chance.randint(2, 4)):
        steps: list[Operation] = [
            CreateAll(tuple(chance.sample("xyz", chance.randint(1, 3))), _FORM)
            if chance.random() < 0.7
            else _creation(chance)
            for _ in range(2)
        ]
        plan: Plan = [(chance.random() * 80, step) for step in steps]
        machines.append(Machine(a_temper(chance, limits, crash=0.2, stop=0.2), (plan,)))
    return tuple(machines)


QUERY_SHAPES: tuple[Callable[[Random, Limits], tuple[Machine, ...]], ...] = (_together, _meanwhile, _in_transactions)


def query_scenario(seed: int, chance: Random) -> Scenario:
    """The scenario of this seed, about conditions by queries."""
    shape = QUERY_SHAPES[seed % len(QUERY_SHAPES)]
    limits = with_transactions(chance.choice(LIMITS))
    skies = weather(chance, limits, _LATE)
    return Scenario(
        shape.__name__.strip("_"),
        limits,
        skies,
        shape(chance, limits),
        resolution=chance.choice((1, 1, 1, 1_000)),
        tree_order=chance.random() < 0.3,
        decides_together=seed // len(QUERY_SHAPES) % 4 == 3,
    )


QUERIES = Plot("queries", query_scenario, QUERY_SHAPES)
