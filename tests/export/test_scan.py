"""Scans go on behind damage, and where ids were added meanwhile."""

from __future__ import annotations

from fhirstore.commit.drive import drive
from fhirstore.commit.messages import Protocol, Replies, Result, Unreadable
from fhirstore.export.progress import words
from fhirstore.export.scan import START, EventScan, FolderScan, IdScan, Position, Scan, ScanPage
from fhirstore.format.keyspace import Keyspace
from fhirstore.objects.memory import MemoryStore

_KEYS = Keyspace("t/")


async def _store(*ids: str) -> MemoryStore:
    store = MemoryStore()
    for id_ in ids:
        await store.put(_KEYS.resource("Basic", id_).current, b"{}")
    return store


async def _all(scan: Scan, store: MemoryStore, position: Position | None = START) -> list[str]:
    found: list[str] = []
    while position is not None:
        page = await drive(scan.page(position), store)
        found += [candidate.id for candidate in page.candidates]
        position = page.rest
    return found


def _answered(protocol: Protocol[Result], *replies: Replies) -> Result:
    """What a protocol returns that gets these replies."""
    next(protocol)
    try:
        for some in replies:
            protocol.send(some)
    except StopIteration as ended:
        result: Result = ended.value
        return result
    raise AssertionError("it asks for more")


async def test_a_scan_goes_on_behind_any_candidate() -> None:
    """Also if others were added before and behind it, so that it is on another page."""
    store = await _store("b", "d", "e", "f", "h")
    scan = FolderScan(_KEYS, "Basic", page_size=2)
    second = await drive(scan.page((await drive(scan.page(START), store)).rest or START), store)
    behind_e = second.candidates[0].then
    assert second.candidates[0].id == "e"
    for id_ in ("a", "c", "d-1", "d-2", "d-3", "e1", "g"):
        await store.put(_KEYS.resource("Basic", id_).current, b"{}")
    assert await _all(scan, store, behind_e) == ["e1", "f", "g", "h"]


async def test_other_folders_are_no_candidates() -> None:
    """Only ids are; neither versions nor names that no id has."""
    store = await _store("a")
    await store.put(_KEYS.resource("Basic", "a").version(1), b"{}")
    await store.put("t/resources/Basic/not an id/current.json", b"{}")
    await store.put("t/resources/BasicOther/x/current.json", b"{}")
    assert await _all(FolderScan(_KEYS, "Basic"), store) == ["a"]


def test_a_damaged_part_of_a_listing_is_told() -> None:
    """And the scan goes on behind it, if there is anything readable."""
    damage = (Unreadable("cursor", "page 7"),)
    assert _answered(FolderScan(_KEYS, "Basic").page(START), damage) == ScanPage((), Position("cursor"), 0, lost=True)
    events = EventScan(_KEYS, "Basic", 0, 9)
    assert _answered(events.page(START), damage) == ScanPage((), Position("cursor"), 0, lost=True)
    over = (Unreadable(None, "page 7"),)
    assert _answered(FolderScan(_KEYS, "Basic").page(START), over) == ScanPage((), None, 0, lost=True)


async def test_events_show_each_id_at_its_newest_event_of_the_page() -> None:
    """From after the first time to the second one, included; what is no event is left out."""
    store, basic = MemoryStore(), _KEYS.resource("Basic", "a")
    for t, version in ((10, 1), (11, 2), (12, 3), (13, 4)):
        await store.put(basic.type_event(t, version, "PUT", f"op{version}"), b"")
    await store.put(_KEYS.resource("Basic", "b").type_event(11, 1, "POST", "op"), b"")
    await store.put(f"{_KEYS.type_history('Basic')}0000000000011_stray", b"")
    page = await drive(EventScan(_KEYS, "Basic", 10, 12).page(START), store)
    assert [(one.id, one.made) for one in page.candidates] == [
        ("b", frozenset({(1, "op")})),
        ("a", frozenset({(2, "op2"), (3, "op3")})),
    ]
    assert page.rest is None


async def test_given_ids_are_scanned_in_their_order() -> None:
    """And gone on with behind any of them."""
    scan = IdScan(["a", "b", "c", "d", "e"], page_size=2)
    assert await _all(scan, MemoryStore()) == ["a", "b", "c", "d", "e"]
    assert await _all(scan, MemoryStore(), Position(after="c")) == ["d", "e"]


def test_progress_is_told_in_words() -> None:
    """In less than 100 characters; a percentage only where the number of candidates is known."""
    assert words("Observation", 41_000, 12_300, 100_000) == "Observation 41 % · 12,300 resources"
    assert words("Observation", 41_000, 12_300, None) == "Observation · 12,300 resources"
    assert words("Observation", 120, 7, 100) == "Observation 99 % · 7 resources"
    assert len(words("X" * 200, 1, 1, 1)) < 100
