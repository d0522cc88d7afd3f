"""What clients do to servers that search: writes, transactions, purges, searches page by page.

A seed makes machines out of one of the shapes; each machine has an index file, and servers that come and go.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random

from fhirstore.commit.limits import Limits
from fhirstore.indexing.options import IndexOptions
from tests.simulation.model.machines import a_temper
from tests.simulation.model.process import Temper
from tests.simulation.searches.asking import SEARCHES
from tests.simulation.searches.servers import CLOCK_ERROR

PATIENTS = ("a", "b", "c", "d")
OBSERVATIONS = ("o", "p")
KEPT = 6_000
"""Ms for which what has ended is kept, where an index is pruned; clocks may be wrong by two seconds there."""
LIMITS = Limits(window=2_000, apply=800, transaction_window=2_000)

Members = dict[str, object]


@dataclass(frozen=True, slots=True)
class Put:
    """An update, which may bring it into being."""

    type: str
    id: str
    members: Members


@dataclass(frozen=True, slots=True)
class Delete:
    """A delete."""

    type: str
    id: str


@dataclass(frozen=True, slots=True)
class Together:
    """A transaction."""

    parts: tuple[Put | Delete, ...]


@dataclass(frozen=True, slots=True)
class Purge:
    """A purge of a Patient."""

    id: str


@dataclass(frozen=True, slots=True)
class Look:
    """A search, read to its last page: `count` matches a page, after so many ms each. `elsewhere`: by whatever server
    of the machine; `abroad`: of any machine. `back`: and then back to the first page."""

    number: int  # of SEARCHES
    count: int
    pause: float
    elsewhere: bool = False
    abroad: bool = False
    back: bool = False


@dataclass(frozen=True, slots=True)
class Prune:
    """Drops what the index keeps of long ago."""


@dataclass(frozen=True, slots=True)
class Lose:
    """The machine's index file is deleted."""


Step = Put | Delete | Together | Purge | Look | Prune | Lose
Script = list[tuple[float, Step]]
"""After so many ms, this; then the next."""


@dataclass(frozen=True, slots=True)
class ServerPlan:
    """A process: its temper, and what each of its clients does."""

    temper: Temper
    scripts: tuple[Script, ...]


@dataclass(frozen=True, slots=True)
class MachinePlan:
    """A machine with an index file, and how its servers keep it."""

    servers: tuple[ServerPlan, ...] = ()
    index: IndexOptions = field(default_factory=IndexOptions)


def _members(chance: Random, type: str) -> Members:
    if type == "Observation":
        return {"status": "final", "code": {"text": "x"}, "subject": {"reference": f"Patient/{chance.choice('abc')}"}}
    members: Members = {"active": chance.random() < 0.5} if chance.random() < 0.8 else {}
    if chance.random() < 0.85:
        members["name"] = [{"family": chance.choice(("Xu", "Yi", "Zo"))}]
    return members


def _write(chance: Random, type: str, id: str) -> Put | Delete:
    return Delete(type, id) if chance.random() < 0.2 else Put(type, id, _members(chance, type))


def _some(chance: Random) -> Step:
    roll = chance.random()
    if roll < 0.25:
        ids = chance.sample(PATIENTS, chance.randint(2, 3))
        return Together(tuple(_write(chance, "Patient", id_) for id_ in ids))
    if roll < 0.4:
        return _write(chance, "Observation", chance.choice(OBSERVATIONS))
    return _write(chance, "Patient", chance.choice(PATIENTS))


def _think(chance: Random) -> float:
    return chance.random() * (40.0 if chance.random() < 0.8 else 2_500.0)


def _writing(chance: Random, steps: int) -> Script:
    return [(_think(chance), _some(chance)) for _ in range(steps)]


def _look(chance: Random, *, slowly: bool = False) -> Look:
    count = chance.choice((1, 1, 2, 3, 100))
    pause = chance.random() * (60.0 if not slowly else chance.choice((100.0, 3_000.0, 9_000.0)))
    return Look(chance.randrange(len(SEARCHES)), count, pause, elsewhere=chance.random() < 0.5)


def _looking(chance: Random, steps: int, *, slowly: bool = False) -> Script:
    return [(_think(chance), _look(chance, slowly=slowly)) for _ in range(steps)]


def _temper(
    chance: Random, limits: Limits, *, crash: float = 0.1, stop: float = 0.1, writes_only: bool = False
) -> Temper:
    """Whose servers search has a clock that is not ahead of the store's by a second: the safe time relies on that."""
    temper = a_temper(chance, limits, crash=crash, stop=stop)
    skew = temper.skew if writes_only else min(temper.skew, CLOCK_ERROR)
    return Temper(
        skew,
        temper.learns,
        chance.randint(1, 60) if temper.crash_at else 0,
        temper.back_after,
        {chance.randint(1, 60): long for long in temper.stops.values()},
        temper.sends_first,
        temper.slept,
    )


def busy(chance: Random, limits: Limits) -> tuple[MachinePlan, ...]:
    """Some write, some search, on several machines."""
    return tuple(
        MachinePlan(
            tuple(
                ServerPlan(
                    _temper(chance, limits),
                    (_writing(chance, chance.randint(1, 4)), _looking(chance, chance.randint(2, 4))),
                )
                for _ in range(chance.choice((1, 1, 2)))
            )
        )
        for _ in range(chance.choice((1, 2, 2, 3)))
    )


def bundled(chance: Random, limits: Limits) -> tuple[MachinePlan, ...]:
    """Transactions that cross each other, single writes upon them, and searches in quick succession."""

    def crossing() -> Script:
        return [
            (
                chance.random() * 60.0,
                Together(tuple(_write(chance, "Patient", id_) for id_ in chance.sample(PATIENTS, chance.randint(2, 4))))
                if chance.random() < 0.7
                else _write(chance, "Patient", chance.choice(PATIENTS)),
            )
            for _ in range(3)
        ]

    def looking() -> Script:
        return [
            (chance.random() * 40.0, Look(chance.choice((0, 0, 1, 3)), 100, 0.0)) for _ in range(chance.randint(3, 6))
        ]

    writers = tuple(
        ServerPlan(_temper(chance, limits, writes_only=True), (crossing(),)) for _ in range(chance.randint(1, 2))
    )
    return (
        MachinePlan(writers),
        MachinePlan((ServerPlan(_temper(chance, limits, crash=0.05), (looking(), crossing())),)),
        MachinePlan((ServerPlan(Temper(), (looking(), looking())),)),
    )


def paged(chance: Random, limits: Limits) -> tuple[MachinePlan, ...]:
    """Pages are read slowly, by any server of the machine, while others write and the index is pruned."""
    often = chance.choice((300.0, 1_000.0, 2_500.0))

    def writing(steps: int) -> Script:
        return [(chance.random() * often, _write(chance, "Patient", chance.choice(PATIENTS))) for _ in range(steps)]

    def paging() -> Script:
        return [
            (
                chance.random() * 300.0,
                Look(
                    chance.randrange(6),
                    1,
                    chance.choice((0.3, 2.0, 4.0)) * often,
                    elsewhere=chance.random() < 0.5,
                    back=chance.random() < 0.3,
                ),
            )
            for _ in range(2)
        ]

    begin: Script = [(chance.random() * 10.0, Put("Patient", id_, _members(chance, "Patient"))) for id_ in PATIENTS]
    upkeep: Script = [(chance.random() * 3_000.0, Prune()) for _ in range(chance.choice((0, 8, 12)))]
    searching = tuple(
        ServerPlan(
            replace(_temper(chance, limits, crash=0.1), skew=chance.uniform(-CLOCK_ERROR, CLOCK_ERROR)),
            ([(800.0, Look(0, 100, 0.0)), *paging()], writing(4)),
        )
        for _ in range(2)
    )
    return (
        MachinePlan((*searching, ServerPlan(Temper(), (begin, upkeep, [(500.0, Look(0, 100, 0.0)), *paging()])))),
        MachinePlan((ServerPlan(_temper(chance, limits), (writing(8), writing(8))),)),
    )


def shared(chance: Random, limits: Limits) -> tuple[MachinePlan, ...]:
    """Servers of one machine bring one index up to date at once; one sleeps until after the window of what it read."""
    ids = PATIENTS[:2]

    def script(steps: int, looks: float) -> Script:
        return [
            (
                chance.random() * 1_500.0,
                Look(0, 100, 0.0) if chance.random() < looks else _write(chance, "Patient", chance.choice(ids)),
            )
            for _ in range(steps)
        ]

    sleeps = {chance.randint(2, 30): chance.uniform(2.2, 4.0) * limits.window for _ in range(3)}
    asleep = ServerPlan(Temper(stops=sleeps), (script(6, 0.9),))
    others = tuple(
        ServerPlan(_temper(chance, limits, stop=0.0), (script(6, 0.4), script(6, 0.8)))
        for _ in range(chance.randint(1, 2))
    )
    return (MachinePlan((asleep, *others)), MachinePlan((ServerPlan(_temper(chance, limits), (script(4, 0.3),)),)))


def dying(chance: Random, limits: Limits) -> tuple[MachinePlan, ...]:
    """Servers die and come back, index files are lost; writers die between their requests."""
    losing: Script = [(chance.random() * 3_000.0, Lose()), (chance.random() * 100.0, _look(chance))]
    return (
        MachinePlan(
            tuple(
                ServerPlan(
                    _temper(chance, limits, crash=0.7, stop=0.2),
                    (_writing(chance, 4), _looking(chance, 3), losing if chance.random() < 0.5 else []),
                )
                for _ in range(2)
            )
        ),
        MachinePlan(
            tuple(
                ServerPlan(_temper(chance, limits, crash=0.7, stop=0.3, writes_only=True), (_writing(chance, 4),))
                for _ in range(2)
            )
        ),
        MachinePlan((ServerPlan(Temper(), (_looking(chance, 6),)),)),
    )


def purged(chance: Random, limits: Limits) -> tuple[MachinePlan, ...]:
    """Patients are purged, and come back."""
    purging: Script = [(chance.random() * 4_000.0, Purge(chance.choice(PATIENTS[:2]))) for _ in range(2)]
    return (
        MachinePlan((ServerPlan(_temper(chance, limits), (_writing(chance, 4), purging, _looking(chance, 4))),)),
        MachinePlan((ServerPlan(_temper(chance, limits), (_writing(chance, 5), _looking(chance, 4, slowly=True))),)),
    )


def nearby(chance: Random, limits: Limits) -> tuple[MachinePlan, ...]:
    """Searches of one machine are local: they show at once what their own server has acknowledged."""

    def script(steps: int) -> Script:
        return [
            (chance.random() * 200.0, _some(chance) if chance.random() < 0.5 else _look(chance)) for _ in range(steps)
        ]

    def server() -> ServerPlan:
        return ServerPlan(_temper(chance, limits, crash=0.2), (script(5), script(5)))

    options = IndexOptions(consistency="local", poll=chance.choice((0.1, 0.5, 2.0)))
    return (
        MachinePlan(tuple(server() for _ in range(chance.randint(1, 2))), options),
        MachinePlan((server(),), IndexOptions(follow=True, poll=0.5)),
    )


def abroad(chance: Random, limits: Limits) -> tuple[MachinePlan, ...]:
    """Pages are read by servers of several machines while others write; their clocks differ, as stores allow."""
    begin: Script = [(chance.random() * 10.0, Put("Patient", id_, _members(chance, "Patient"))) for id_ in PATIENTS]

    def paging() -> Script:
        return [
            (
                chance.random() * 1_500.0,
                Look(chance.randrange(6), 1, chance.random() * chance.choice((50.0, 1_500.0)), abroad=True),
            )
            for _ in range(4)
        ]

    def server() -> ServerPlan:
        skew = chance.choice((20, CLOCK_ERROR)) * chance.uniform(-1.0, 1.0)
        temper = replace(_temper(chance, limits, crash=0.05), skew=skew, slept=False)
        return ServerPlan(temper, (paging(), _writing(chance, 2)))

    return (
        MachinePlan((ServerPlan(Temper(), (begin, paging())),)),
        *(MachinePlan((server(),)) for _ in range(chance.choice((1, 2)))),
    )


SHAPES: tuple[Callable[[Random, Limits], tuple[MachinePlan, ...]], ...] = (
    busy,
    bundled,
    paged,
    shared,
    dying,
    purged,
    nearby,
    abroad,
)
