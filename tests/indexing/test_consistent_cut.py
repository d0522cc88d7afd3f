"""While writers write, request by request: what an index takes in is committed, whole and not behind.

Writers have clocks that are wrong by up to two seconds, and some stop for ever. The requests of all of them, and of the
index, are interleaved in any order.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from fhirstore.clock import SystemIds
from fhirstore.commit.limits import Context, Limits
from fhirstore.commit.messages import Pause, Protocol
from fhirstore.commit.single import WriteResult, write
from fhirstore.commit.staging import in_stages
from fhirstore.commit.transaction import Part, Transacted, transact
from fhirstore.errors import FhirError, ObjectNotFound
from fhirstore.format.decision import Decision, decode_decision
from fhirstore.format.record import Record, decode
from fhirstore.history.page import safe_time
from fhirstore.indexing.committed import _Reading, committed, events_from
from tests.history.interleaving import Running
from tests.history.reading import World
from tests.upkeep.sweep.attempts import KEYS, basic

IDS = ("a", "b", "c")
STEPS = st.lists(st.tuples(st.integers(0, 19), st.integers(0, 6), st.integers(0, 60)), min_size=80, max_size=260)


@dataclass(frozen=True, slots=True)
class Cut:
    """What an index had after one run, and what was acknowledged before it began."""

    records: dict[str, Record]
    acknowledged: dict[str, int]


@dataclass(slots=True)
class Indexed:
    """An index: no more than the newest version of each resource, and the watermark."""

    watermark: int = 0
    records: dict[str, Record] = field(default_factory=dict)

    def run(self, context: Context, acknowledged: dict[str, int]) -> Protocol[Cut]:
        """Brings it up to date."""
        safe = safe_time(context)
        listing = yield from events_from(KEYS, self.watermark, most=10**6)
        known = {name: record.version for name, record in self.records.items()}
        found = yield from committed(KEYS, listing.events, known, safe=safe)
        self.records |= {name: one for name, one in found.records.items() if one.version > known.get(name, 0)}
        self.watermark = max(self.watermark, safe if found.undecided is None else min(safe, found.undecided))
        return Cut(dict(self.records), acknowledged)


@dataclass(slots=True)
class Writers:
    """Single writes and transactions under way."""

    world: World
    single: list[tuple[str, Running[WriteResult]]] = field(default_factory=list)
    bundled: list[tuple[tuple[str, ...], Running[Transacted]]] = field(default_factory=list)
    last: list[Running[WriteResult] | Running[Transacted]] = field(default_factory=list)

    def start(self, number: int, skew: int) -> None:
        """One more: every other one is a transaction on two resources or three."""
        clock = self.world.clock
        context = Context(lambda: clock.ms + skew, SystemIds(), Limits())
        if number % 2:
            ids = IDS[number % 3 :][:2] if number % 4 == 1 else IDS
            parts = [Part(keys, basic(keys)) for id_ in ids for keys in [KEYS.resource("Basic", id_)]]
            several = Running(in_stages(transact(parts, context=context)), self.world.meter, clock)
            self.bundled.append((ids, several))
            self.last.append(several)
        else:
            keys = KEYS.resource("Basic", IDS[number % 3])
            one = Running(in_stages(write(keys, basic(keys), context=context)), self.world.meter, clock)
            self.single.append((keys.id, one))
            self.last.append(one)

    def acknowledged(self) -> dict[str, int]:
        """The newest version of each resource whose writer knows that it is committed."""
        found: dict[str, int] = {}
        results = [(id_, running.result) for id_, running in self.single]
        results += [
            (id_, result)
            for ids, running in self.bundled
            if running.result is not None
            for id_, result in zip(ids, running.result.results, strict=True)
        ]
        for id_, result in results:
            if result is not None and result.record is not None:
                name = f"Basic/{id_}"
                found[name] = max(found.get(name, 0), result.record.version)
        return found

    async def step(self, actor: int, choice: int) -> None:
        """Let one of the last few go on; the others have stopped, between two of their requests."""
        alive = [running for running in self.last[-4:] if not running.done]
        if alive:
            running = alive[actor % len(alive)]
            try:
                for _ in range(1 + 3 * (actor % 4)):
                    await running.step(choice)
            except FhirError:
                running.done = True  # refused, or it does not know what it came to


Steps = list[tuple[int, int, int]]
QUICK = settings(
    max_examples=120,
    derandomize=True,
    deadline=None,
    database=None,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
)


@QUICK
@given(STEPS)
@pytest.mark.slow
def test_an_index_takes_consistent_cuts(steps: Steps) -> None:
    """All that was acknowledged before; of a transaction all or nothing; nothing that was not committed."""
    asyncio.run(check(steps))


def no_parts(_: object, __: object) -> Protocol[list[tuple[str, str]]]:
    """The other resources of a transaction are not read again."""
    yield Pause(0)
    return []


def nothing_below(_: object, __: object) -> Protocol[set[str]]:
    """Transactions below the current version are not met."""
    yield Pause(0)
    return set()


def too_early(context: Context) -> int:
    """The watermark does not wait for the end of write windows."""
    return context.now()


def as_it_is(self: Record) -> Record:
    """An intent is taken for the version that it announces."""
    return self if self.intent is None else replace(self, version=self.intent.v, op=self.intent.tx, intent=None)


@pytest.mark.parametrize(
    ("target", "name", "mutant"),
    [
        (_Reading, "_parts", no_parts),
        (_Reading, "_below", nothing_below),
        (sys.modules[__name__], "safe_time", too_early),
        (Record, "without_intent", as_it_is),
    ],
)
@pytest.mark.slow
def test_the_check_notices_what_is_left_out(
    target: object, name: str, mutant: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any one of these rules an index takes in a part of a transaction, too little, or too much."""

    @settings(QUICK, derandomize=True, max_examples=400)
    @given(STEPS)
    def run(steps: Steps) -> None:
        asyncio.run(check(steps))

    monkeypatch.setattr(target, name, mutant)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        run()


async def check(steps: Steps) -> None:
    """Interleaves all requests as the steps say, then compares each cut with the truth."""
    world = World()
    writers, indexed = Writers(world), Indexed()
    cuts: list[Cut] = []
    running: Running[Cut] | None = None
    for actor, choice, pause in steps:
        world.clock.ms += pause * (400 if actor == 19 and choice == 0 else 1)
        if actor < 2:
            writers.start(choice + actor, (choice - 3) * 600)
        elif actor < 12 or actor == 19:
            await writers.step(actor, choice)
        else:
            if running is None or running.done:
                context = Context(world.meter.now, SystemIds(), Limits())
                running = Running(indexed.run(context, writers.acknowledged()), world.meter, world.clock)
            await running.step(choice)
            if running.done and running.result is not None:
                cuts.append(running.result)
    decisions = await all_decisions(world)
    for cut in cuts:
        for name, version in cut.acknowledged.items():
            assert name in cut.records
            assert cut.records[name].version >= version
        for decision in decisions:
            there = [version <= version_in(cut, f"{type_}/{id_}") for type_, id_, version in decision.parts]
            assert all(there) or not any(there)
            event("a transaction in it" if any(there) else "a transaction not in it")
        for name, record in cut.records.items():
            await must_be_committed(world, name, record)


def version_in(cut: Cut, name: str) -> int:
    """The version of a resource that the index had; 0 if none."""
    record = cut.records.get(name)
    return 0 if record is None else record.version


async def all_decisions(world: World) -> list[Decision]:
    """Of the transactions that were committed."""
    page = await world.meter.list(KEYS.transactions())
    found = [decode_decision((await world.meter.get(one.key)).body, one.key) for one in page.objects]
    return [one for one in found if one.committed]


async def must_be_committed(world: World, name: str, record: Record) -> None:
    """The version object is that of the attempt that the index took."""
    type_, _, id_ = name.partition("/")
    keys = KEYS.resource(type_, id_)
    try:
        slot = decode((await world.meter.get(keys.version(record.version))).body, name)
    except ObjectNotFound:
        pytest.fail(f"{name} has no version {record.version}")
    current = decode((await world.meter.get(keys.current)).body, name)
    in_doubt = current.intent is not None and current.intent.v == record.version
    assert slot.op == record.op
    assert current.version >= record.version or in_doubt
