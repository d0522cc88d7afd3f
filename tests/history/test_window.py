"""The newest events are found in 1 or 2 LIST however they lie in time, and all of them are found."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhirstore.commit.messages import List, Protocol
from fhirstore.history.bracket import Bracket, position
from fhirstore.history.cursor import Outlook
from fhirstore.history.remembered import RememberedHistories
from fhirstore.history.window import Window, newest
from fhirstore.objects.base import Listed, Page
from tests.history.distributions import DISTRIBUTIONS, NOW, type_event

PREFIX = "history/type/Basic/"


@dataclass(slots=True)
class Folder:
    """The keys of one folder, which answers LIST as a bucket does, and counts."""

    times: list[int]
    names: list[str] = field(init=False)
    lists: int = 0

    def __post_init__(self) -> None:
        self.names = sorted(type_event(t, number) for number, t in enumerate(self.times))

    def run(self, protocol: Protocol[Window]) -> tuple[Window, int]:
        """The window, and what it cost."""
        before = self.lists
        try:
            batch = next(protocol)
            while True:
                assert isinstance(batch, tuple)
                batch = protocol.send(tuple(self._list(request) for request in batch if isinstance(request, List)))
        except StopIteration as end:
            window: Window = end.value
            return window, self.lists - before

    def _list(self, request: List) -> Page:
        self.lists += 1
        after = max(request.start_after or "", request.cursor or "").removeprefix(PREFIX)
        at = bisect_right(self.names, after)
        keys = [PREFIX + name for name in self.names[at : at + request.limit]]
        listed = tuple(Listed(key, 0, "", 0) for key in keys)
        return Page(listed, (), keys[-1] if at + request.limit < len(self.names) else None)


@lru_cache
def _folder(distribution: Callable[[], list[int]]) -> Folder:
    return Folder(distribution())


def ask(want: int, below: str | None = None, outlook: Outlook | None = None, floor: str = "") -> Protocol[Window]:
    """The newest events, at NOW."""
    return newest(PREFIX, below=below, now=NOW, floor=floor, want=want, outlook=outlook)


@pytest.mark.parametrize("want", [1, 10, 50, 250])
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_every_page_costs_two_lists_at_most(distribution: Callable[[], list[int]], want: int) -> None:
    """The first page of a warm process and 500 following ones; a cold process needs at most 6 for its first one."""
    folder = _folder(distribution)
    window, cold = folder.run(ask(want))
    assert cold <= 6
    remembered = RememberedHistories()
    remembered.remember("t", PREFIX, window.newest(NOW), NOW)
    window, warm = folder.run(ask(want, outlook=remembered.outlook("t", PREFIX, NOW)))
    assert warm <= 2
    seen: list[str] = []
    pages = 0
    for _ in range(500):
        used = window.take(want, first=not seen)
        seen += window.names[::-1][:used]
        if window.whole and used == len(window.names):
            break
        assert used > 0
        window, cost = folder.run(ask(want, seen[-1], window.outlook(used)))
        pages += 1
        assert cost <= 2, (len(seen), cost)
    assert seen == folder.names[::-1][: len(seen)]
    assert len(seen) > 0.8 * want * pages or want == 250


TIMES = st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, 5_000), st.integers(1, 700)), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(TIMES, st.integers(0, 10**7), st.sampled_from([1, 7, 60, 250]), st.integers(0, 10**7), st.data())
@pytest.mark.slow
def test_nothing_is_missed_and_nothing_comes_twice(
    clumps: list[tuple[int, int, int]], since: int, want: int, silence: int, data: st.DataObject
) -> None:
    """Any clumps of events, any floor, any outlook, true or not."""
    times = [NOW - back + (number * length) // size for back, length, size in clumps for number in range(size)]
    folder = Folder(times)
    floor = data.draw(st.sampled_from(["", position(NOW - since)]))
    expected = [name for name in folder.names if name > floor][::-1]
    outlook = data.draw(
        st.none()
        | st.builds(
            Outlook,
            st.sampled_from(["", *folder.names, position(NOW - silence)]),
            st.integers(0, 1000),
            st.floats(1e-3, 1e9),
            st.sampled_from(["", *folder.names]),
            st.integers(0, 2),
        )
    )
    seen: list[str] = []
    below: str | None = None
    for _ in range(80):
        window, _ = folder.run(ask(want, below, outlook, floor))
        used = window.take(want, first=not seen)
        seen += window.names[::-1][:used]
        if window.whole and used == len(window.names):
            break
        assert used > 0
        below, outlook = seen[-1], window.outlook(used)
    else:
        expected = expected[: len(seen)]
    assert seen == expected


def test_a_place_that_nothing_followed_may_be_followed_by_many_now() -> None:
    """Two LISTs contradict each other, since events came in between: the search goes by the later one, and ends."""
    bracket = Bracket(NOW, "", 100, "", pace=1.0)
    bracket.nothing_after(position(NOW - 5_000))
    bracket.cut_off([type_event(NOW - 6_000 + n * 3, n) for n in range(1_000)])
    for _ in range(4):
        assert bracket.admits(bracket.guess())


def test_a_process_that_was_silent_for_long_still_finds_the_newest() -> None:
    """What it remembers is hours old: from then on there were none, some, or very many events."""
    for new in (0, 10, 3_000, 50_000):
        folder = Folder([NOW - 10**7 + n * 100 for n in range(5_000)])
        window, _ = folder.run(newest(PREFIX, below=None, now=NOW - 9_500_000, floor="", want=50, outlook=None))
        remembered = RememberedHistories()
        remembered.remember("t", PREFIX, window.newest(NOW - 9_500_000), NOW - 9_500_000)
        folder = Folder(folder.times + [NOW - 10_000 + n * 10_000 // max(1, new) for n in range(new)])
        window, cost = folder.run(ask(50, outlook=remembered.outlook("t", PREFIX, NOW)))
        assert window.names[-1] == folder.names[-1]
        assert len(window.names) >= 10
        assert cost <= 2 + (new > 1_000), (new, cost)
        at = bisect_left(folder.names, window.names[0])
        assert list(window.names) == folder.names[at:]


@pytest.mark.parametrize("before", [0, 300])
@pytest.mark.parametrize("warm", [True, False])
@pytest.mark.parametrize("gap", [500, 10_000, 60_000])
@pytest.mark.parametrize(("size", "looks"), [(1_100, 2), (1_500, 2), (3_000, 4), (20_000, 9)])
def test_single_events_after_a_rush_do_not_hide_it_for_long(
    size: int, looks: int, gap: int, warm: bool, before: int
) -> None:
    """However the first look ends, the later ones cost 2 LIST at most and learn from it, until a page is full."""
    end = NOW - 4 * gap
    rush = [end - 1_000 + n * 1_000 // size for n in range(size)]
    earlier = [end - 60_000 - n * 1_000 for n in range(before)]
    remembered = RememberedHistories()
    if warm and earlier:
        window, _ = Folder(earlier).run(newest(PREFIX, below=None, now=end - 50_000, floor="", want=50, outlook=None))
        remembered.remember("t", PREFIX, window.newest(end - 50_000), end - 50_000)
    folder = Folder(earlier + rush + [end + n * gap for n in range(1, 4)])
    for look in range(looks):
        now = NOW + 2_000 * look
        outlook = remembered.outlook("t", PREFIX, now)
        window, cost = folder.run(newest(PREFIX, below=None, now=now, floor="", want=50, outlook=outlook))
        remembered.remember("t", PREFIX, window.newest(now), now)
        assert window.names[-1] == folder.names[-1]
        assert cost <= (2 if look else 7)  # 6, unless there is nothing to show yet
        if window.take(50, first=True) == 50:
            break
    else:
        pytest.fail(f"no page was full in {looks} looks")
