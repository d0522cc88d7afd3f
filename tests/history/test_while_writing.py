"""Reading page by page while writers write: nothing committed before is skipped, nothing comes twice."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhirstore.clock import SystemIds
from fhirstore.commit.drive import drive
from fhirstore.commit.limits import Context, Limits
from fhirstore.commit.reading import look
from fhirstore.commit.single import WriteResult, write
from fhirstore.commit.staging import in_stages
from fhirstore.history.page import HistoryPage, HistoryQuery
from tests.history.interleaving import Running
from tests.history.reading import Name, World, names
from tests.upkeep.sweep.attempts import KEYS, basic

IDS = ["a", "b", "c"]
STEPS = st.lists(st.tuples(st.integers(0, 15), st.integers(0, 6), st.integers(0, 400)), min_size=60, max_size=240)


@dataclass(slots=True)
class Writers:
    """Writers with clocks that are wrong by up to two seconds, some of which stop for ever; and what they committed."""

    world: World
    running: list[Running[WriteResult]] = field(default_factory=list)
    by: list[str] = field(default_factory=list)

    def start(self, number: int, skew: int) -> None:
        """One more writer."""
        id_ = IDS[number % len(IDS)]
        clock = self.world.clock
        context = Context(lambda: clock.ms + skew, SystemIds(), Limits())
        keys = KEYS.resource("Basic", id_)
        draft = basic(keys, "DELETE" if number == 4 else "PUT")
        self.running.append(Running(in_stages(write(keys, draft, context=context)), self.world.meter, clock))
        self.by.append(id_)

    def acknowledged(self) -> set[Name]:
        """The versions whose writers know that they are committed."""
        return {
            ("Basic", id_, running.result.record.version)
            for id_, running in zip(self.by, self.running, strict=True)
            if running.result is not None and running.result.record is not None
        }

    async def step(self, actor: int, choice: int) -> None:
        """Let one of the last few go on; the others have stopped, between two of their requests."""
        alive = [running for running in self.running[-4:] if not running.done]
        if alive:
            await alive[actor % len(alive)].step(choice)


@settings(max_examples=150, deadline=None)
@given(STEPS, st.integers(1, 5), st.booleans(), st.sampled_from([(None, None), ("Basic", None), ("Basic", "a")]))
@pytest.mark.slow
async def test_pages_skip_and_repeat_nothing(
    steps: list[tuple[int, int, int]], count: int, oldest_first: bool, scope: tuple[str | None, str | None]
) -> None:
    """What was acknowledged before the first page was asked for is on exactly one page, whatever happens meanwhile."""
    world = World()
    writers = Writers(world)
    first = await world.put("a")
    query = HistoryQuery(count=count, oldest_first=oldest_first)
    pages: list[HistoryPage] = []
    before = {first}
    reader: Running[HistoryPage] | None = None
    for number, (actor, choice, pause) in enumerate(steps):
        world.clock.ms += pause // 20
        if actor < 2:
            writers.start(choice, (pause - 200) * 10)
        elif actor < 12 or number < len(steps) // 4:
            await writers.step(actor, choice)
        elif reader is None:
            if not pages:
                before = writers.acknowledged() | {first}
            if not pages or pages[-1].next is not None:
                cursor = pages[-1].next if pages else None
                reader = Running(world.read.protocol(*scope, query, cursor), world.meter, world.clock)
        else:
            await reader.step(choice)
            if reader.done:
                pages.append(await reader.finish())
                reader = None
    if reader is not None:
        pages.append(await reader.finish())
    if not pages:
        before = writers.acknowledged() | {first}
        pages.append(await world.read.page(*scope, query=query))
    while pages[-1].next is not None:
        pages.append(await world.read.page(*scope, query=query, cursor=pages[-1].next))
    seen = [name for page in pages for name in names(page.versions)]
    times = [version.last_updated_ms for page in pages for version in page.versions]
    assert len(seen) == len(set(seen)), "a version came twice"
    assert {name for name in before if scope[1] in (None, name[1])} <= set(seen), "a version was skipped"
    assert times == sorted(times, reverse=not oldest_first)
    assert set(seen) <= await _committed(world), "a version was shown that was never committed"


@settings(max_examples=150, deadline=None)
@given(STEPS, st.integers(1, 5), st.sampled_from([(None, None), ("Basic", None), ("Basic", "a")]))
@pytest.mark.slow
async def test_polling_since_the_last_answers_time_loses_nothing(
    steps: list[tuple[int, int, int]], count: int, scope: tuple[str | None, str | None]
) -> None:
    """All polls together have every version, however late it was committed and however wrong its writer's clock was."""
    world = World()
    writers = Writers(world)
    await world.put("a")
    since: int | None = None
    seen: set[Name] = set()
    poll: list[Running[HistoryPage]] = []
    query = HistoryQuery(count=count)
    for actor, choice, pause in steps:
        world.clock.ms += pause * 2
        if actor < 2:
            writers.start(choice, (pause - 200) * 10)
        elif actor < 11:
            await writers.step(actor, choice)
        elif not poll and choice < 4:
            pages = await world.read.pages(*scope, query=HistoryQuery(count=count, since=since))
            seen |= {name for page in pages for name in names(page.versions)}
            since = pages[-1].as_of
        elif not poll:
            query = HistoryQuery(count=count, since=since)
            poll = [Running(world.read.protocol(*scope, query, None), world.meter, world.clock)]
        else:
            await poll[0].step(choice)
            if poll[0].done:
                page = await poll[0].finish()
                seen |= set(names(page.versions))
                if page.next is not None:
                    poll = [Running(world.read.protocol(*scope, query, page.next), world.meter, world.clock)]
                else:
                    since, poll = page.as_of, []
    for page in await world.read.pages(*scope, query=HistoryQuery(since=since)):
        seen |= set(names(page.versions))
    assert seen == {name for name in await _committed(world) if scope[1] in (None, name[1])}


async def _committed(world: World) -> set[Name]:
    """All versions there are, as the current ones say."""
    found: set[Name] = set()
    for id_ in IDS:
        base, _ = await drive(look(KEYS.resource("Basic", id_)), world.meter)
        found |= {("Basic", id_, n + 1) for n in range(base.version)}
    return found
