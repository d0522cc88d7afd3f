"""Scenarios with transactions: over the same resources at once, dead in the middle, met by all, swept after a day.

A day is a few windows here, but no less than the protocol needs: a record must outlive every request that could still
take a transaction for undecided.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

from msgspec import structs

from fhirstore.commit.limits import Limits
from tests.simulation.model.machines import Machine, a_temper
from tests.simulation.model.process import Temper
from tests.simulation.model.task import Operation, Plan
from tests.simulation.scenarios.bundled import Transact
from tests.simulation.scenarios.looking import Page, Versions
from tests.simulation.scenarios.operations import Read, VRead, Write
from tests.simulation.scenarios.upkeep import Purge, Sweep

_IDS = ("a", "b", "c")
_RECORD = 3  # the boundary at which a transaction that nobody is in the way of sends its record


def with_transactions(limits: Limits) -> Limits:
    """Limits under which transactions are met and over within a schedule."""
    longer = structs.replace(limits, transaction_window=2 * limits.window, patience=600, at_once=12)
    return structs.replace(longer, keep_transactions=longer.settled + 2 * longer.window)


def _transact(chance: Random, ids: Sequence[str] = _IDS, *, refusing: float = 0.1) -> Transact:
    """Over two of these or more, in any order."""
    return Transact(
        tuple(
            Write(
                id_,
                chance.choice(("update", "update", "patch", "patch", "patch", "delete")),
                if_match=chance.random() < refusing,
            ).unless_patch()
            for id_ in chance.sample(ids, chance.randint(2, len(ids)))
        )
    )


def _met(chance: Random, ids: Sequence[str] = _IDS) -> Operation:
    """What others do where transactions are at work."""
    roll, id_ = chance.random(), chance.choice(ids)
    if roll < 0.3:
        return _transact(chance, ids)
    if roll < 0.5:
        return Write(id_, chance.choice(("update", "patch", "delete")), recall=chance.random() < 0.4)
    if roll < 0.7:
        return Read(id_)
    if roll < 0.8:
        return VRead(id_, chance.choice((-1, 0, 1, 1)), relative=True)
    return Versions(id_) if roll < 0.9 else _page(chance)


def _bundled(chance: Random, limits: Limits) -> tuple[Machine, ...]:
    """Some of everything."""
    return tuple(
        Machine(
            a_temper(chance, limits),
            tuple(
                [(100.0 * chance.random(), _met(chance)) for _ in range(chance.randint(1, 3))]
                for _ in range(chance.choice((1, 1, 2)))
            ),
        )
        for _ in range(chance.randint(2, 4))
    )


def _crossing(chance: Random, limits: Limits) -> tuple[Machine, ...]:
    """Transactions over the same resources, at the same moment and in different orders, and single writes between."""
    crossing = tuple(
        Machine(
            a_temper(chance, limits, crash=0.1, stop=0.05),
            ([(chance.random() * 40, _transact(chance)) for _ in range(2)],),
        )
        for _ in range(chance.randint(2, 4))
    )
    between: Plan = [(chance.random() * 60, Write(chance.choice(_IDS), "patch")) for _ in range(2)]
    others = Machine(a_temper(chance, limits, crash=0.05), (between, _watching(chance, 20.0)))
    return (*crossing, others) if chance.random() < 0.7 else crossing


def _abandoned(chance: Random, limits: Limits) -> tuple[Machine, ...]:
    """A transaction dies at one of its round trips; everybody comes upon it at once, or when its window is over."""
    dies = Temper(crash_at=chance.randint(2, 8), skew=chance.choice((0.0, 0.0, -0.5, 1.0)) * limits.window)
    dead = Machine(dies, ([(0.0, _transact(chance)), (0.0, _transact(chance))],))
    late = chance.choice((0.0, 0.0, 0.0, 1.0)) * limits.settled
    others = tuple(
        Machine(
            a_temper(chance, limits, crash=0.1, stop=0.05),
            ([(late + chance.random() * 200, _met(chance)), (chance.random() * 50, _met(chance))],),
        )
        for _ in range(chance.randint(1, 3))
    )
    return (dead, *others, Machine(Temper(), (_watching(chance, late + chance.random() * 200),)))


def _slowed(chance: Random, limits: Limits) -> tuple[Machine, ...]:
    """A transaction stops midway, for less than its window or more; others go on, and watch; it is resumed."""
    at, long = chance.randint(1, 6), chance.choice((0.1, 0.2, 0.5, 1.0, 2.0, 2.4)) * limits.window
    if chance.random() < 0.3:  # once its record is on the way, until about the end of its window
        asleep = Temper(
            stops={_RECORD: limits.transaction_window + chance.random() * limits.apply},
            deaf_at=_RECORD if chance.random() < 0.5 else 0,
        )
    else:
        asleep = replace(
            a_temper(chance, limits, crash=0.0), stops={at: long, at + chance.randint(1, 2): long * chance.random()}
        )
    sleeper = Machine(asleep, ([(0.0, _transact(chance)), (0.0, _transact(chance)), (0.0, _page(chance))],))
    others = tuple(
        Machine(
            a_temper(chance, limits),
            ([(chance.random() * long, _met(chance)), (chance.random() * long, _met(chance))],),
        )
        for _ in range(chance.randint(1, 3))
    )
    return (sleeper, *others, Machine(Temper(), (_watching(chance, chance.random() * long),)))


def _kept(chance: Random, limits: Limits) -> tuple[Machine, ...]:
    """Dead transactions and living ones; sweepers pass, and pass again when a day is over; some slept through it."""
    day, settled = float(limits.keep_transactions), float(limits.settled)
    dies_at = chance.choice((2, 3, _RECORD + 1, _RECORD + 1, _RECORD + 2, 7))  # mostly when it is committed, not final
    dead = Machine(Temper(crash_at=dies_at), ([(0.0, _transact(chance)), (0.0, _transact(chance))],))
    sleeper = _sleeper(chance, (1.05 + 0.3 * chance.random()) * day)
    sweeps: list[Plan] = [
        [(settled + 300.0 + chance.random() * 300, Sweep()), (day * chance.uniform(0.2, 1.1), Sweep())],
        [(day + chance.random() * 3_000, Sweep()), (chance.random() * 1_000, Sweep())],
    ]
    if chance.random() < 0.4:
        sweeps.append([(chance.choice((chance.random() * 400, settled + 400.0)), Purge(chance.choice(_IDS)))])
    sweepers = tuple(Machine(a_temper(chance, limits, crash=0.1, stop=0.1), (plan,)) for plan in sweeps)
    later = Machine(
        a_temper(chance, limits, crash=0.05),
        (
            [
                (chance.choice((settled, settled + 300.0, day)) + chance.random() * 800, _met(chance)),
                (chance.random() * 50, _met(chance)),
            ],
        ),
    )
    return (dead, sleeper, *sweepers, later)


def _sleeper(chance: Random, long: float) -> Machine:
    """Stopped as its record is on the way, or between a look at an intent and one at its record; or anywhere."""
    roll = chance.random()
    first: Operation
    if roll < 0.4:
        asleep, first = Temper(stops={_RECORD: long}, deaf_at=_RECORD), _transact(chance)
    elif roll < 0.8:
        id_ = chance.choice(_IDS)
        asleep = Temper(stops={2: long}, sends_first=False)
        first = chance.choice((Read(id_), Read(id_), Versions(id_), VRead(id_, 1)))
    else:
        asleep, first = Temper(stops={chance.randint(1, 4): long}, sends_first=chance.random() < 0.5), _met(chance)
    return Machine(asleep, ([(chance.choice((20, 300)) * chance.random(), first), (0.0, Read(chance.choice(_IDS)))],))


def _page(chance: Random) -> Page:
    return Page(chance.choice((250, 250, 2, 3)), oldest_first=chance.random() < 0.3)


def _watching(chance: Random, first: float) -> Plan:
    """Reads in quick succession."""
    looks: list[Operation] = [Read(chance.choice(_IDS)) for _ in range(3)]
    looks += [
        _page(chance),
        Versions(chance.choice(_IDS)),
        VRead(chance.choice(_IDS), chance.choice((0, 1)), relative=True),
    ]
    chance.shuffle(looks)
    return [(first if n == 0 else chance.random() * 30, look) for n, look in enumerate(looks)]


FAVOURITES: dict[str, dict[str, float]] = {
    "_abandoned": {"lost_answer": 0.05, "duplicate": 0.05},
    "_slowed": {"late": 0.06, "slow": 0.15},
    "_kept": {"late": 0.05, "duplicate": 0.08},
}
"""Faults that a shape is after."""

TRANSACTIONS: tuple[Callable[[Random, Limits], tuple[Machine, ...]], ...] = (
    _bundled,
    _crossing,
    _abandoned,
    _slowed,
    _kept,
)
