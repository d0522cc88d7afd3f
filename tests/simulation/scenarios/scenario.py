"""What a seed stands for: machines, their tempers, what they are to do, and the weather between them and the store.

Seeds take turns among the shapes below, so that any few of them in a row hold one of each; chance fills in the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from random import Random

from fhirstore.commit.limits import Limits
from tests.simulation.model.machines import Machine, a_temper, think
from tests.simulation.model.network import Rates, Weather
from tests.simulation.model.process import Temper
from tests.simulation.model.task import Operation, Plan
from tests.simulation.scenarios.identifying import IDENTIFYING, IDENTITY_FAVOURITES
from tests.simulation.scenarios.looking import Page, Versions
from tests.simulation.scenarios.operations import Read, VRead, Write
from tests.simulation.scenarios.transactions import FAVOURITES, TRANSACTIONS, with_transactions
from tests.simulation.scenarios.upkeep import Purge, Sweep

USUAL = Rates(0.01, 0.01, 0.005, 0.01, 0.015, 0.008, 0.01, 0.005, 0.005, 0.01, 0.02)
_CALM = USUAL.times(0.1)
LIMITS = (
    Limits(transaction_window=5_000),
    Limits(transaction_window=5_000),
    Limits(window=2_000, apply=800, transaction_window=2_000),
)


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything about a schedule that is not chance on the way. `resolution`: of the store's dates, in ms.

    `decides_together`: the store decides PUTs and the one that follows them together, as the embedded store does.
    `healing`: what must succeed when there are no more faults; `closing`: what comes after everything else.
    """

    name: str
    limits: Limits
    weather: Weather
    machines: tuple[Machine, ...]
    resolution: int = 1
    tree_order: bool = False
    decides_together: bool = False
    healing: tuple[Plan, ...] = ()
    closing: tuple[Plan, ...] = ()


@dataclass(frozen=True, slots=True)
class Plot:
    """Scenarios of one kind. `scenario`: that of a seed; seeds take turns among the `shapes`."""

    name: str
    scenario: Callable[[int, Random], Scenario]
    shapes: tuple[Callable[[Random, Limits], tuple[Machine, ...]], ...]


def weather(chance: Random, limits: Limits, favourites: Mapping[str, float]) -> Weather:
    """The weather of a schedule. `favourites`: faults that its shape is after."""
    rates = rates_of(chance)
    if chance.random() < 0.7:
        rates = replace(rates, **favourites)
    latency, patience = chance.choice((5.0, 10.0, 10.0, 40.0)), chance.choice((300.0, 2_000.0, 2.0 * limits.window))
    return Weather(rates, latency, patience)


def scenario(seed: int, chance: Random) -> Scenario:
    """The scenario of this seed."""
    shape = SHAPES[seed % len(SHAPES)]
    limits = chance.choice(LIMITS)
    if shape in TRANSACTIONS or shape in IDENTIFYING:
        limits = with_transactions(limits)
    skies = weather(chance, limits, _FAVOURITES.get(shape.__name__, {}))
    return Scenario(
        shape.__name__.strip("_"),
        limits,
        skies,
        shape(chance, limits),
        resolution=chance.choice((1, 1, 1, 1_000)),
        tree_order=chance.random() < 0.3,
        decides_together=seed // len(SHAPES) % 4 == 3,
    )


def rates_of(chance: Random) -> Rates:
    """Calm, usual or harsh weather, or one fault far above the others."""
    roll = chance.random()
    if roll < 0.3:
        return _CALM
    if roll < 0.6:
        return USUAL
    if roll < 0.75:
        return USUAL.times(3.0)
    fault = chance.choice(fields(Rates)).name
    return replace(_CALM, **{fault: 0.2})


def _write(chance: Random, id: str) -> Write:
    kind = chance.choice(("update", "update", "patch", "patch", "delete"))
    return Write(id, kind, if_match=kind != "patch" and chance.random() < 0.35, recall=chance.random() < 0.4)


def _any(chance: Random, ids: tuple[str, ...]) -> Operation:
    id_ = chance.choice(ids)
    roll = chance.random()
    if roll < 0.65:
        return _write(chance, id_)
    return Read(id_) if roll < 0.82 else _vread(chance, id_)


def _vread(chance: Random, id: str) -> VRead:
    return VRead(id, chance.choice((-2, -1, 0, 1, 1)), relative=True) if chance.random() < 0.7 else VRead(id, 1)


def _plan(chance: Random, limits: Limits, operations: list[Operation]) -> Plan:
    return [(think(chance, limits), operation) for operation in operations]


def _mixed(chance: Random, limits: Limits) -> tuple[Machine, ...]:
    """Some of everything."""
    ids = ("a", "b", "c")[: chance.randint(1, 3)]
    return tuple(
        Machine(
            a_temper(chance, limits),
            tuple(
                _plan(chance, limits, [_any(chance, ids) for _ in range(chance.randint(1, 3))])
                for _ in range(chance.choice((1, 1, 2)))
            ),
        )
        for _ in range(chance.randint(2, 4))
    )


def _hot(chance: Random, limits: Limits) -> tuple[Machine, ...]:
    """Everybody writes the same resource at once."""
    return tuple(
        Machine(a_temper(chance, limits), (_plan(chance, limits, [_write(chance, "a") for _ in range(2)]),))
        for _ in range(chance.randint(3, 5))
    )


def _dying(chance: Random, limits: Limits) -> tuple[Machine, ...]:
    """Every process crashes, some come back."""
    return tuple(
        Machine(
            a_temper(chance, limits, crash=1.0),
            (_plan(chance, limits, [_any(chance, ("a",)), *(_write(chance, "a") for _ in range(3))]),),
        )
        for _ in range(chance.randint(2, 5))
    )


def _zombie(chance: Random, limits: Limits) -> tuple[Machine, ...]:
    """One writer is stopped in the middle of its write; others go on, past its window or not; it is resumed."""
    at, long = chance.randint(1, 6), chance.choice((0.1, 0.3, 1.0, 1.1, 1.3, 3.0)) * limits.window
    asleep = replace(
        a_temper(chance, limits, crash=0.0), stops={at: long, at + chance.randint(1, 3): long * chance.random()}
    )
    sleeper = Machine(asleep, ([(0.0, _write(chance, "a")), (0.0, _write(chance, "a")), (0.0, Read("a"))],))
    others = tuple(
        Machine(
            a_temper(chance, limits),
            ([(chance.random() * long, _write(chance, "a")), (chance.random() * long, _any(chance, ("a",)))],),
        )
        for _ in range(chance.randint(1, 3))
    )
    return (sleeper, *others)


def _orphan(chance: Random, limits: Limits) -> tuple[Machine, ...]:
    """A creation dies between reservation and commit; later ones meet its slot, and no current.json."""
    dead = replace(a_temper(chance, limits), crash_at=chance.randint(1, 3), back_after=None)
    creators = tuple(Machine(dead, ([(chance.random() * 50, _write(chance, "a"))],)) for _ in range(2))
    others = tuple(
        Machine(
            a_temper(chance, limits),
            (_plan(chance, limits, [_write(chance, "a"), _any(chance, ("a",))]),),
        )
        for _ in range(chance.randint(1, 3))
    )
    return (*creators, *others)


def _watched(chance: Random, limits: Limits) -> tuple[Machine, ...]:
    """A writer dies between reservation and commit; others take its slot over and go on at once, while many look."""
    dies_at, version = chance.choice(((2, 1), (3, 1), (6, 2), (7, 2)))
    dead = Machine(Temper(crash_at=dies_at), ([(0.0, Write("a", "patch"))] * 2,))
    behind = chance.choice((0.0, 0.3, 0.6)) * limits.window
    writers = tuple(
        Machine(
            replace(a_temper(chance, limits, crash=0.05, stop=0.0), skew=-behind + chance.uniform(-50.0, 50.0)),
            ([(chance.random() * (100 if first else 20), _write(chance, "a")) for first in (1, 0, 0)],),
        )
        for _ in range(2)
    )
    looks: list[Plan] = [
        [(chance.uniform(*((300, 1_300) if first else (0, 60))), VRead("a", version)) for first in (1, 0, 0)]
        for _ in range(3)
    ]
    readers = (Machine(Temper(), tuple(looks)), Machine(a_temper(chance, limits), ([(500.0, _vread(chance, "a"))],)))
    return (dead, *writers, *readers)


def _created(chance: Random, limits: Limits) -> tuple[Machine, ...]:
    """Creations: under fresh ids, and under one id that stands for an Idempotency-Key and is sent by several."""
    machines: list[Machine] = []
    for number in range(chance.randint(2, 4)):
        fresh = f"f{number}"
        plan: Plan = [
            (think(chance, limits), Write("once", "once")),
            (think(chance, limits), Write(fresh, "create")),
            (think(chance, limits), _any(chance, ("once", fresh))),
        ]
        machines.append(Machine(a_temper(chance, limits, crash=0.3), (plan,)))
    return tuple(machines)


def _swept(chance: Random, limits: Limits) -> tuple[Machine, ...]:
    """A writer dies; when all is settled, sweepers come to clean up, just as others write the same resource again."""
    dead = Machine(Temper(crash_at=chance.choice((2, 3, 6, 6, 7))), ([(0.0, Write("a", "patch"))] * 2,))
    quiet = limits.settled + 300.0
    repeats = Temper(deaf_at=chance.randint(9, 11))  # about where it deletes
    sweepers = tuple(
        Machine(
            a_temper(chance, limits, crash=0.1, stop=0.2) if chance.random() < 0.5 else repeats,
            ([(quiet + chance.random() * 150, Sweep()), (chance.random() * limits.window, Sweep())],),
        )
        for _ in range(chance.choice((1, 1, 2)))
    )
    writer = Machine(
        a_temper(chance, limits, crash=0.1, stop=0.2),
        ([(quiet + chance.random() * 600, _write(chance, "a")), (chance.random() * 50, _any(chance, ("a",)))],),
    )
    hurried: Plan = [
        (quiet + chance.uniform(100, 1_500), Read("a")),
        (chance.random() * 30, Purge("a") if chance.random() < 0.5 else Write("a", "update", recall=True)),
        (chance.random() * 30, _write(chance, "a")),
    ]
    return (dead, *sweepers, *((writer,) if chance.random() < 0.6 else ()), Machine(Temper(), (hurried,)))


def _purged(chance: Random, limits: Limits) -> tuple[Machine, ...]:
    """A resource is purged, twice perhaps, while others write and read it, one finds out late, and a sweeper passes."""
    if chance.random() < 0.5:
        return _emptied(chance, limits)
    window = limits.window
    upkeep: list[Plan] = [[(chance.random() * 300, Purge("a"))]]
    if chance.random() < 0.5:
        upkeep.append([(chance.random() * 600, Purge("a")), (chance.random() * window, Purge("a"))])
    if chance.random() < 0.5:
        upkeep.append([(chance.uniform(0.5, 2.0) * window, Sweep()) for _ in range(2)])
    clients = tuple(
        Machine(
            a_temper(chance, limits, stop=0.4),
            ([(chance.random() * chance.choice((100.0, 100.0, window)), _any(chance, ("a",))) for _ in range(4)],),
        )
        for _ in range(2)
    )
    if chance.random() < 0.4:
        asleep = Temper(stops={5: chance.uniform(2.0, 4.0) * window}, sends_first=False, deaf_at=3)
        clients += (Machine(asleep, ([(chance.random() * 50, Write("a", "patch"))],)),)
        upkeep.append([(chance.uniform(0.1, 1.5) * window, Purge("a"))])
    administrators = tuple(Machine(a_temper(chance, limits), (plan,)) for plan in upkeep)
    return administrators + clients


def _emptied(chance: Random, limits: Limits) -> tuple[Machine, ...]:
    """A purge empties slots, and what others tried long before lands there: copies of requests, by a fast clock; or a
    writer slept since it had looked. Those who read `current` before the purge, or wait for their answer, sleep on."""
    window = limits.window
    fast = [0.0, 0.0, *(chance.uniform(0.5, 3.0) * window for _ in range(chance.choice((0, 1, 2))))]
    emptied = max(fast) + limits.settled + chance.uniform(1_000, 1_500)  # about then
    plans: list[Plan] = [[(chance.random() * 100, _write(chance, "a")) for _ in range(2)] for _ in fast]
    writers = tuple(Machine(Temper(skew=skew), (plan,)) for skew, plan in zip(fast, plans, strict=True))
    patch, landing = Write("a", "patch"), emptied + chance.random() * window
    waking = landing + chance.random() * window
    late = Machine(Temper(stops={1: landing}), ([(chance.random() * 60, patch)],))
    unheard = Machine(Temper(stops={5: waking}, sends_first=False, deaf_at=3), ([(chance.random() * 50, patch)],))
    purge = Machine(Temper(), ([(chance.uniform(150, 1_000), Purge("a"))],))
    looks: tuple[tuple[Operation, int], ...] = ((Versions("a"), 2), (Page(), 3), (VRead("a", 1), 2))
    sleepers = tuple(
        Machine(Temper(stops={stop: waking}, sends_first=False), ([(chance.uniform(100, 900), look)],))
        for look, stop in looks
    )
    return (*writers, late, unheard, purge, *sleepers)


_FAVOURITES: dict[str, dict[str, float]] = {
    "_zombie": {"late": 0.08},
    "_watched": {"slow": 0.3},
    "_swept": {"late": 0.12, "duplicate": 0.15},
    "_purged": {"late": 0.06, "duplicate": 0.2, "lost_answer": 0.04},
    **FAVOURITES,
    **IDENTITY_FAVOURITES,
}
"""Faults that a shape is after."""

SHAPES: tuple[Callable[[Random, Limits], tuple[Machine, ...]], ...] = (
    _mixed,
    _hot,
    _dying,
    _zombie,
    _orphan,
    _watched,
    _created,
    _swept,
    _purged,
    *TRANSACTIONS,
    *IDENTIFYING,
)

RESOURCES = Plot("resources", scenario, SHAPES)
