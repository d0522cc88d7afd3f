"""The history of a type and of a tenant shows exactly the committed versions, and costs little."""

from __future__ import annotations

import base64
import json

import pytest

from fhirstore.commit.drive import drive
from fhirstore.commit.purge import purge
from fhirstore.errors import InvalidResource
from fhirstore.format.keyspace import Keyspace
from fhirstore.history.events import EventsHistory
from fhirstore.history.page import HistoryQuery
from fhirstore.history.remembered import RememberedHistories
from fhirstore.upkeep.sweep.run import sweep
from tests.commit.hurried import hurry
from tests.history.reading import Histories, Name, World, names
from tests.upkeep.sweep.attempts import KEYS, SETTLED, context


async def test_a_first_page_of_new_resources_costs_one_list_and_one_get_each() -> None:
    """LIST, then GET current of all in parallel, in batches that start small."""
    world = World()
    made = [await world.put(f"x{n}") for n in range(16)]
    with world.meter.measure() as cost:
        page = await world.read.page("Basic")
    assert names(page.versions) == made[::-1]
    assert page.total is None
    assert (cost.requests, cost.round_trips) == ({"LIST": 1, "GET": 16}, 2)


async def test_an_entry_costs_two_get_at_most() -> None:
    """Older versions cost their own object and, once per resource and page, the current version's."""
    world = World()
    for id in ("a", "b", "a", "b", "a"):
        await world.put(id)
    with world.meter.measure() as cost:
        assert len(await world.read.all()) == 5
    assert (cost.requests, cost.round_trips) == ({"LIST": 1, "GET": 5}, 3)
    page = await world.read.page(query=HistoryQuery(count=2))
    with world.meter.measure() as cost:
        page = await world.read.page(query=HistoryQuery(count=2), cursor=page.next)
    assert len(page.versions) == 2
    assert cost.requests == {"LIST": 1, "GET": 4}


async def test_types_are_apart_and_the_tenants_history_has_them_all() -> None:
    """Newest first in either."""
    world = World()
    made = [await world.put(f"x{n}", type=("Basic", "Patient")[n % 2]) for n in range(6)]
    assert await world.read.all("Patient") == made[::-1][::2]
    assert await world.read.all("Basic") == made[::-1][1::2]
    assert await world.read.all() == made[::-1]
    assert await world.read.all(query=HistoryQuery(oldest_first=True, count=4)) == made
    assert await world.read.all("Observation") == []


async def test_deletions_are_entries() -> None:
    """With their method and no content."""
    world = World()
    await world.put("a")
    await world.put("a", method="DELETE")
    page = await world.read.page()
    assert [(version.method, version.deleted) for version in page.versions] == [("DELETE", True), ("PUT", False)]


async def test_what_was_never_committed_is_never_shown() -> None:
    """Attempts that died leave events of versions that do not exist, or that somebody else made."""
    world = World()
    await world.die("a")
    made = [await world.put("a"), await world.put("a")]
    await world.die("a")
    await world.die("b")
    for query in (HistoryQuery(count=1), HistoryQuery(), HistoryQuery(oldest_first=True, count=1)):
        expected = made if query.oldest_first else made[::-1]
        assert await world.read.all(query=query) == expected
        assert await world.read.all("Basic", query=query) == expected


async def test_purged_versions_are_gone() -> None:
    """At once, and for good."""
    world = World()
    await world.put("a")
    kept = await world.put("b")
    keys = KEYS.resource("Basic", "a")
    protocol = purge(keys, by="test", context=context(world.meter))
    await hurry(protocol, world.meter, world.clock)
    assert await world.read.all() == [kept]
    again = await world.put("a")
    assert await world.read.all() == [again, kept]


async def test_tenants_see_nothing_of_each_other() -> None:
    """The same ids in two tenants; a cursor of one reads its own history when it is shown to the other."""
    world = World()
    for n in range(3):
        await world.put(f"x{n}")
    cursor = (await world.read.page(query=HistoryQuery(count=1))).next
    other = EventsHistory("u", Keyspace("u/"), None, HistoryQuery(), RememberedHistories(), context(world.meter))
    for given in (None, cursor):
        assert (await drive(other.page(given), world.meter)).versions == ()


async def test_below_the_watermark_an_entry_costs_one_get() -> None:
    """The sweeper has checked those events; its state is read once a minute."""
    world = World()
    for id in ("a", "b", "c", "d"):
        await world.put(id)
    await world.die("a")
    made = [await world.put(id) for id in ("a", "b", "c", "d")]
    world.clock.ms += SETTLED
    await hurry(sweep(KEYS, context=context(world.meter)), world.meter, world.clock)
    query = HistoryQuery(count=4)
    for requests in ({"LIST": 1, "GET": 4 + 1}, {"LIST": 1, "GET": 4}):
        with world.meter.measure() as cost:
            page = await world.read.page(query=query)
        assert names(page.versions) == made[::-1]
        assert cost.requests == requests
    with world.meter.measure() as cost:
        assert len((await world.read.page(query=query, cursor=page.next)).versions) == 4
    assert cost.requests == {"LIST": 1, "GET": 4}
    world.clock.ms += 60_000
    with world.meter.measure() as cost:
        await world.read.page(query=query)
    assert cost.requests == {"LIST": 1, "GET": 5}


async def test_an_unreadable_watermark_only_costs_requests() -> None:
    """Everything is checked then."""
    world = World()
    made = await world.put("a")
    await world.die("b")
    await world.meter.put(KEYS.sweep_state, b"{")
    world.clock.ms += SETTLED
    assert await world.read.all() == [made]


async def test_a_page_ends_early_where_versions_are_large() -> None:
    """The bytes of a page are bounded, whatever its count; nothing is left out."""
    world = World()
    world.read.page_bytes = 400  # bytes; one version has some 100
    made = [await world.put(f"x{n}") for n in range(60)]
    pages = await world.read.pages()
    assert len(pages) >= 4
    assert [name for page in pages for name in names(page.versions)] == made[::-1]


async def test_keys_that_are_no_events_are_passed_over() -> None:
    """Somebody else's objects in the folder, before, between and behind the events."""
    world = World()
    made = [await world.put(f"x{n}") for n in range(5)]
    event = f"{world.clock.ms:013d}"
    for name in ("", "-", "0", "zzz", f"{event}_", f"{event}_Basic_..._1_PUT-A.json", f"{event}_Basic_a_x_PUT-A.json"):
        await world.meter.put(KEYS.system_history() + name + ".txt", b"")
        await world.meter.put(KEYS.system_history() + name + "~", b"")
    await world.meter.put(KEYS.system_history() + f"{event}_Basic_{'a' * 65}_1_PUT-A.json", b"")
    for query in (HistoryQuery(), HistoryQuery(count=1), HistoryQuery(count=2, oldest_first=True)):
        assert await world.read.all(query=query) == (made if query.oldest_first else made[::-1])


async def test_a_count_over_the_limit_gets_full_pages_of_the_limit() -> None:
    """A server need not return as many as were asked for."""
    world = World()
    made = [await world.put(f"x{n}") for n in range(260)]
    pages = await world.read.pages(query=HistoryQuery(count=1000))
    assert [len(page.versions) for page in pages] == [250, 10]
    assert [name for page in pages for name in names(page.versions)] == made[::-1]


async def test_a_history_is_the_same_for_a_process_that_remembers_and_one_that_does_not() -> None:
    """What is remembered are hints: after hours of silence, and after a rush, they are only less good."""
    world = World()
    made: list[Name] = []
    for pause in (1, 3_600_000, 1, 86_400_000 * 30):
        world.clock.ms += pause
        made += [await world.put(f"x{pause}-{n}") for n in range(700)]
        for query in (HistoryQuery(), HistoryQuery(count=3)):
            fresh = await Histories(world.meter, world.clock).page(query=query)
            assert names((await world.read.page(query=query)).versions) == names(fresh.versions)
            assert names(fresh.versions) == made[::-1][: query.count]


@pytest.mark.parametrize("saw_it", [True, False])
async def test_a_first_page_is_full_after_a_rush_and_three_single_writes(saw_it: bool) -> None:
    """Within its bound: 2 LIST and 2 GET per entry; up to 6 LIST where the process learns how busy the history is."""
    world = World()
    made = [await world.put("before")]
    if saw_it:
        await world.read.page()
    world.clock.ms += 60_000
    made += [await world.put(f"x{n}") for n in range(1_500)]
    for n in range(3):
        world.clock.ms += 10_000
        made.append(await world.put(f"y{n}"))
    for most in (6, 2, 2):
        world.clock.ms += 5_000
        with world.meter.measure() as cost:
            page = await world.read.page()
        assert names(page.versions) == made[::-1][:50]
        assert cost.requests["LIST"] <= most
        assert cost.requests["GET"] <= 2 * 50 + 1  # and the sweeper's watermark


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "=", "W10", "bnVsbA", "ÿ", "WyJlIiwiIiwwLG51bGxd", "A" * 3000]
    + [
        base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
        for value in (
            ["e", "../../u/x", 0, None],
            ["e", "1700000000000_Basic_a/../b_1_PUT-A.json", 0, None],
            ["e", "1700000000000_Basic_a_1_PUT-A.json", -1, None],
            ["e", "1700000000000_Basic_a_1_PUT-A.json", 0, ["u/", 1, 1.0]],
            ["e", "1700000000000_Basic_a_1_PUT-A.json\n", 0, None],
            ["e", "1700000000000_Basic_a_1_PUT-A.json", 0, ["", 1001, 1.0]],
            ["e", "1700000000000_Basic_a_1_PUT-A.json", 0, ["", 1, 0]],
            ["i", 1, 1, 0],
        )
    ],
)
async def test_a_malformed_cursor_is_refused(cursor: str) -> None:
    """400, before anything is read."""
    world = World()
    with world.meter.measure() as cost, pytest.raises(InvalidResource):
        await world.read.page(cursor=cursor)
    assert cost.requests == {}


async def test_a_request_does_not_run_for_ever() -> None:
    """Where hundreds of attempts died in a row a page is empty in the end, and its next one goes on."""
    world = World()
    made = await world.put("a")
    for n in range(60):
        await world.die(f"x{n}")
    pages = await world.read.pages(query=HistoryQuery(count=1))
    assert [len(page.versions) for page in pages[:3]] == [0, 0, 0]
    assert [name for page in pages for name in names(page.versions)] == [made]
