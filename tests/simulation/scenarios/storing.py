"""Scenarios about payloads: contents shared by many, uploads that are forgotten, purges, and sweepers that sleep."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from fhirstore.commit.limits import Limits
from tests.simulation.model.machines import Machine, a_temper, think
from tests.simulation.model.process import Temper
from tests.simulation.model.task import Operation, Plan
from tests.simulation.scenarios.scenario import Plot, Scenario, weather
from tests.simulation.scenarios.stored import PurgeBinary, ReadContent, Rewrite, StoreAll, SweepPayloads, Upload

_LIMITS = (
    Limits(transaction_window=5_000, run=20_000, unused=20_000, inline_bytes=4),
    Limits(window=2_000, apply=800, transaction_window=2_000, run=8_000, unused=8_000, inline_bytes=4),
)
_CONTENTS = "pq"
_IDS = "ab"


def _storing(chance: Random) -> Operation:
    """One write of a content."""
    roll = chance.random()
    if roll < 0.5:
        return Upload(chance.choice(_IDS), chance.choice(_CONTENTS))
    if roll < 0.75:
        return StoreAll(((chance.choice(_IDS), chance.choice(_CONTENTS)),))
    return StoreAll(tuple((id_, chance.choice(_CONTENTS)) for id_ in _IDS))


def _any(chance: Random) -> Operation:
    roll = chance.random()
    if roll < 0.5:
        return _storing(chance)
    if roll < 0.7:
        return Rewrite(chance.choice(_IDS), delete=roll < 0.55)
    return ReadContent(chance.choice(_IDS)) if roll < 0.85 else PurgeBinary(chance.choice(_IDS))


def _sweeping(chance: Random) -> SweepPayloads:
    return SweepPayloads(chance.choice((1, 50)), chance.choice((2, 3, 50)), only=chance.random() < 0.5)


def _sweepers(chance: Random, limits: Limits, after: float = 0.0, *, passes: int = 6) -> Machine:
    """Passes from `after` on, as far apart as the steps of a sweep are."""
    gaps = (0.3 * limits.settled, 1.1 * limits.settled + 200.0, limits.unused + 200.0)
    plan: Plan = [(after, _sweeping(chance))]
    plan += [(chance.choice(gaps) * chance.uniform(0.9, 1.2), _sweeping(chance)) for _ in range(passes - 1)]
    return Machine(a_temper(chance, limits, crash=0.1), (plan,))


def _shared(chance: Random, limits: Limits) -> tuple[Machine, ...]:
    """Many store the same contents at the same moment, and some die of it."""
    writers = tuple(
        Machine(
            a_temper(chance, limits, crash=0.3),
            ([(think(chance, limits), _any(chance)) for _ in range(chance.choice((1, 2, 3)))],),
        )
        for _ in range(chance.randint(2, 4))
    )
    return (*writers, _sweepers(chance, limits))


def _forgotten(chance: Random, limits: Limits) -> tuple[Machine, ...]:
    """A content is uploaded, and its writer is as slow as it may be, or slower; others store it, or not."""
    reach = limits.unused
    share = chance.choice((0.0, 0.5, 0.9, 1.0, 1.1, 1.2)) * reach
    slow = [0.0, 0.0, 0.0]
    slow[chance.randrange(3)] = share
    content = chance.choice("pr")
    first = Machine(
        Temper(crash_at=chance.choice((0, 0, chance.randint(2, 9)))),
        ([(chance.random() * 50, Upload("a", content, (slow[0], slow[1], slow[2])))],),
    )
    others = tuple(
        Machine(a_temper(chance, limits, crash=0.1), ([(chance.uniform(0.0, 1.4) * reach, Upload("b", "p"))],))
        for _ in range(chance.choice((0, 1, 2)))
    )
    if chance.random() < 0.5:
        return (first, *others, _sweepers(chance, limits, chance.uniform(0.8, 1.1) * reach))
    punctual: Plan = [(reach + 300.0, SweepPayloads(only=True)), (chance.random() * 300, SweepPayloads(only=True))]
    return (first, *others, Machine(Temper(), (punctual,)))


def _condemned(chance: Random, limits: Limits) -> tuple[Machine, ...]:
    """A content is purged and condemned; it is stored again at the moment it is to go. A sweeper sleeps there."""
    if chance.random() < 0.5:
        return _late(chance, limits)
    stored = Machine(Temper(), ([(0.0, Upload("a", "p")), (200.0, PurgeBinary("a"))],))
    condemned = limits.settled + limits.unused + 2_000.0
    goes = condemned + limits.settled + 500.0
    sweepers = []
    for number in range(chance.choice((1, 2, 2))):
        temper = Temper()
        if number == 0 and chance.random() < 0.7:
            long = chance.uniform(0.1, 2.5) * limits.window
            temper = Temper(stops={chance.randint(3, 18): long}, sends_first=chance.random() < 0.3)
        sweepers.append(Machine(temper, (_passes(chance, limits, condemned + 20 * number),)))
    around = (chance.choice((condemned, goes)) + chance.uniform(-600.0, 1_200.0) for _ in range(chance.randint(1, 3)))
    storing: tuple[Operation, ...] = (Upload("b", "p"), StoreAll((("b", "p"),)))
    writers = tuple(
        Machine(
            a_temper(chance, limits, crash=0.1, stop=0.2),
            ([(at, chance.choice(storing)), (chance.random() * 300, ReadContent("b"))],),
        )
        for at in around
    )
    return (stored, *sweepers, *writers)


def _passes(chance: Random, limits: Limits, condemned: float) -> Plan:
    """A pass that condemns, and a pass that lets go; each looks for references at its fourth boundary."""
    plan: Plan = [(condemned, SweepPayloads(only=True))]
    plan += [(limits.settled + 500.0 + chance.random() * 100, SweepPayloads(only=True))]
    plan += [(chance.choice((20.0, 300.0, limits.settled)), SweepPayloads(only=True)) for _ in range(2)]
    return plan


def _late(chance: Random, limits: Limits) -> tuple[Machine, ...]:
    """Who uploaded the content long ago commits it at the very moment it is condemned, or let go."""
    condemned = limits.unused + 2_000.0
    at_first = chance.random() < 0.5
    moment = condemned if at_first else condemned + limits.settled + 550.0
    long = chance.choice((100.0, 300.0, 1_000.0))
    asleep = Temper(stops={chance.choice((4, 5, 5) if at_first else (10, 11, 11)): long}, sends_first=False)
    sweeper = Machine(asleep if chance.random() < 0.7 else Temper(), (_passes(chance, limits, condemned),))
    waits = moment - chance.uniform(-long, 250.0) - 150.0
    hesitant = Temper(stops={chance.choice((8, 9, 10, 10)): long * chance.random()}, sends_first=False)
    writer = Machine(
        hesitant if chance.random() < 0.5 else Temper(),
        ([(0.0, Upload("b", "r", (0.0, 0.0, waits), bundled=chance.random() < 0.4)), (0.0, ReadContent("b"))],),
    )
    return (writer, sweeper)


def _overtaken(chance: Random, limits: Limits) -> tuple[Machine, ...]:
    """Writers of one Binary die between its reference and its commit, and are overtaken; then it is purged."""
    dead = tuple(
        Machine(Temper(crash_at=chance.randint(6, 13)), ([(chance.random() * 60, Upload("a", content))],))
        for content in _CONTENTS
    )
    bundles = tuple(
        Machine(
            a_temper(chance, limits, crash=0.4),
            ([(chance.random() * 400, StoreAll(tuple((id_, chance.choice(_CONTENTS)) for id_ in _IDS)))],),
        )
        for _ in range(chance.choice((0, 1, 2)))
    )
    after: Plan = [(chance.random() * 600, _storing(chance)) for _ in range(chance.choice((1, 2)))]
    if chance.random() < 0.7:
        after.append((chance.random() * limits.settled, PurgeBinary("a")))
    return (*dead, *bundles, Machine(a_temper(chance, limits, crash=0.1), (after,)), _sweepers(chance, limits))


PAYLOAD_SHAPES: tuple[Callable[[Random, Limits], tuple[Machine, ...]], ...] = (
    _shared,
    _forgotten,
    _condemned,
    _overtaken,
)

_FAVOURITES: dict[str, dict[str, float]] = {
    "_shared": {"lost_answer": 0.04, "duplicate": 0.05},
    "_forgotten": {"late": 0.05},
    "_condemned": {"late": 0.08, "duplicate": 0.1},
    "_overtaken": {"late": 0.05},
}
"""Faults that a shape is after."""


def payload_scenario(seed: int, chance: Random) -> Scenario:
    """The scenario of this seed, about payloads.

    In the end each content is stored once more; and when the time of all writers is over, everything is swept, step by
    step.
    """
    shape = PAYLOAD_SHAPES[seed % len(PAYLOAD_SHAPES)]
    limits = chance.choice(_LIMITS)
    skies = weather(chance, limits, _FAVOURITES.get(shape.__name__, {}))
    healing: list[Plan] = [
        [(0.0, Upload("x", "p", last=True)), (0.0, ReadContent("x"))],
        [(0.0, StoreAll((("y", "p"), ("z", "q")), last=True)), (0.0, ReadContent("z"))],
        [(0.0, operation) for id_ in _IDS for operation in (Rewrite(id_), ReadContent(id_))],
    ]
    after = chance.random()
    if after < 0.4:  # then nothing refers to them any more
        healing.append([(3_000.0, PurgeBinary(id_)) for id_ in ("x", "y", "z")])
    rest = limits.unused + 2.0 * limits.settled
    swept: Plan = [(rest, SweepPayloads(page=chance.choice((2, 3, 50)), pages=100)) for _ in range(6)]
    if chance.random() < 0.4:
        swept += [(0.3 * rest, SweepPayloads(page=chance.choice((3, 4, 5)), pages=1)) for _ in range(30)]
        del swept[1:6]
    swept[0] = (3.0 * limits.run + 4.0 * limits.window + 4.0 * limits.settled, swept[0][1])
    return Scenario(
        shape.__name__.strip("_"),
        limits,
        skies,
        shape(chance, limits),
        resolution=chance.choice((1, 1, 1, 1_000)),
        tree_order=chance.random() < 0.3,
        decides_together=seed // len(PAYLOAD_SHAPES) % 4 == 3,
        healing=tuple(healing),
        closing=(swept,),
    )


PAYLOADS = Plot("payloads", payload_scenario, PAYLOAD_SHAPES)
