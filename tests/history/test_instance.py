"""The history of one resource needs no LIST, and shows exactly what was committed and not purged."""

from __future__ import annotations

import pytest

from fhirstore.commit.purge import purge
from fhirstore.errors import InvalidResource, NotFound
from fhirstore.fhir.times import Period
from fhirstore.history.page import HistoryQuery
from tests.commit.hurried import hurry
from tests.history.reading import World, names
from tests.upkeep.sweep.attempts import KEYS, context


async def test_it_costs_one_get_per_version_in_two_round_trips() -> None:
    """GET current, then all others in parallel; the current version is not read twice."""
    world = World()
    for _ in range(40):
        await world.put("a")
    with world.meter.measure() as cost:
        page = await world.read.page("Basic", "a")
    assert names(page.versions) == [("Basic", "a", n) for n in range(40, 0, -1)]
    assert (page.total, page.next) == (40, None)
    assert (cost.requests, cost.round_trips) == ({"GET": 40}, 2)


async def test_pages_go_on_where_the_last_one_ended() -> None:
    """Each page reads its own versions and current again, twice, as they are young; new versions do not shift them."""
    world = World()
    for _ in range(10):
        await world.put("a")
    query = HistoryQuery(count=4)
    page = await world.read.page("Basic", "a", query=query)
    seen = names(page.versions)
    while page.next is not None:
        await world.put("a")
        with world.meter.measure() as cost:
            page = await world.read.page("Basic", "a", query=query, cursor=page.next)
        assert cost.requests == {"GET": len(page.versions) + 2}
        seen += names(page.versions)
    assert seen == [("Basic", "a", n) for n in range(10, 0, -1)]


async def test_oldest_first_is_the_same_the_other_way_round() -> None:
    """`_sort=_lastUpdated`."""
    world = World()
    for _ in range(7):
        await world.put("a")
    assert await world.read.all("Basic", "a", query=HistoryQuery(count=3, oldest_first=True)) == [
        ("Basic", "a", n) for n in range(1, 8)
    ]


async def test_an_unknown_resource_is_not_found_a_deleted_one_has_its_history() -> None:
    """404 only where there never was a version."""
    world = World()
    with pytest.raises(NotFound):
        await world.read.page("Basic", "a")
    await world.die("a")
    with pytest.raises(NotFound):
        await world.read.page("Basic", "a")
    await world.put("a")
    await world.put("a", method="DELETE")
    page = await world.read.page("Basic", "a")
    assert [(version.method, version.deleted) for version in page.versions] == [("DELETE", True), ("PUT", False)]


async def test_purged_versions_were_never_there() -> None:
    """404 after a purge; what comes later is the whole history, with the numbers going on."""
    world = World()
    for _ in range(3):
        await world.put("a")
    await hurry(purge(KEYS.resource("Basic", "a"), by="test", context=context(world.meter)), world.meter, world.clock)
    with pytest.raises(NotFound):
        await world.read.page("Basic", "a")
    await world.put("a")
    page = await world.read.page("Basic", "a")
    assert (names(page.versions), page.total) == ([("Basic", "a", 4)], 1)


async def test_a_time_is_found_by_its_place_not_by_reading_everything() -> None:
    """Among 2,000 versions `since` and `at` cost some tens of GET, not 2,000."""
    world = World()
    times: list[int] = []
    for _ in range(2_000):
        await world.put("a")
        times.append(world.clock.ms)
    with world.meter.measure() as cost:
        page = await world.read.page("Basic", "a", query=HistoryQuery(at=Period(times[999], times[999] + 1)))
    assert names(page.versions) == [("Basic", "a", 1000)]
    assert cost.requests["GET"] < 80
    with world.meter.measure() as cost:
        page = await world.read.page("Basic", "a", query=HistoryQuery(since=times[-1] + 1))
    assert (page.versions, cost.requests) == ((), {"GET": 1})


async def test_a_page_ends_early_where_versions_are_large() -> None:
    """The bytes of a page are bounded, whatever its count; nothing is left out."""
    world = World()
    world.read.page_bytes = 400  # bytes; one version has some 100
    for _ in range(20):
        await world.put("a")
    pages = await world.read.pages("Basic", "a")
    assert len(pages) > 3
    assert [name for page in pages for name in names(page.versions)] == [("Basic", "a", n) for n in range(20, 0, -1)]


async def test_a_count_of_zero_is_the_total_alone() -> None:
    """1 GET."""
    world = World()
    await world.put("a")
    page = await world.read.page("Basic", "a", query=HistoryQuery(count=0))
    assert (page.versions, page.total, page.next) == ((), 1, None)


async def test_a_cursor_of_another_kind_is_refused() -> None:
    """A type's cursor is no resource's."""
    world = World()
    for _ in range(2):
        await world.put("a")
    other = (await world.read.page("Basic", query=HistoryQuery(count=1))).next
    assert other is not None
    with pytest.raises(InvalidResource):
        await world.read.page("Basic", "a", cursor=other)
