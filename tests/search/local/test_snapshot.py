"""All pages of a search show the moment of the first one."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest

from fhirstore.errors import CursorExpired, InvalidResource
from fhirstore.fhir import json
from fhirstore.index.local.apply import Batch, Change
from fhirstore.index.local.file import IndexFile
from fhirstore.index.local.noted import READY
from fhirstore.search.criteria.criterion import ById
from fhirstore.search.pages.snapshot import SnapshotPage, page
from fhirstore.search.plans import bounds
from tests.search.local.indexing import asked, new_index
from tests.search.matching.asking import NOW

COUNT = 300


@pytest.fixture
def index(tmp_path: Path) -> Iterator[IndexFile]:
    """Many Patients, of which every third has the name that is searched for."""
    index = new_index(tmp_path)
    index.apply(
        Batch([patient(number, 1, ("Sought", "Other", "Third")[number % 3]) for number in range(COUNT)], at=NOW)
    )
    yield index
    index.close()


def patient(number: int, version: int, family: str | None) -> Change:
    """A version of one of them; None: its tombstone."""
    resource: dict[str, object] = {
        "resourceType": "Patient",
        "id": f"p{number}",
        "name": [{"family": family, "given": [f"given{number * 7 % 50}"]}],
        **({"birthDate": f"19{10 + number % 80}"} if number % 4 else {}),
    }
    return Change("Patient", f"p{number}", version, NOW, NOW + number, None if family is None else resource)


def read(index: IndexFile, query: str, cursor: str | None = None) -> SnapshotPage:
    """One page."""
    with index.read() as reader:
        return page(reader, asked(index, "Patient", query), cursor, now=NOW)


@pytest.mark.parametrize(
    "sort", ["", "&_sort=birthdate", "&_sort=-birthdate,given", "&_sort=-_id", "&_sort=-family,_lastUpdated"]
)
def test_each_match_of_the_moment_comes_once(index: IndexFile, sort: str) -> None:
    """Whatever is created, changed and deleted between the pages."""
    query = f"family=sought&_total=accurate&_count=9{sort}"
    dice = random.Random(1)
    whole = [one.id for one in read(index, query.replace("_count=9", "_count=1000")).matches]
    assert len(whole) == COUNT / 3
    seen: list[str] = []
    cursor: str | None = None
    version = 1
    while True:
        found = read(index, query, cursor)
        seen += [one.id for one in found.matches]
        assert found.total == len(whole)
        assert {one.version for one in found.matches} == {1}
        cursor = found.next
        if cursor is None:
            break
        version += 1
        families = ["Sought", "Other", None]
        index.apply(
            Batch([patient(dice.randrange(2 * COUNT), version, dice.choice(families)) for _ in range(40)], at=NOW)
        )
    assert seen == whole
    assert [one.id for one in read(index, query.replace("_count=9", "_count=1000")).matches] != whole


@pytest.mark.parametrize("sort", ["", "&_sort=-birthdate,given", "&_sort=family", "&_sort=_lastUpdated"])
@pytest.mark.parametrize("few", [0, 5_000])
def test_pages_are_read_backwards(index: IndexFile, sort: str, few: int) -> None:
    """Each page leads to the one before, which is as it was, although others write meanwhile; the first has none."""
    query = f"family=sought&_count=30&_total=accurate{sort}"
    with patch.object(bounds, "SORTED", few):
        pages = [read(index, query)]
        while (cursor := pages[-1].next) is not None:
            pages.append(read(index, query, cursor))
        assert pages[0].previous is None
        index.apply(Batch([patient(number, 2, "Other") for number in range(COUNT)], at=NOW))
        here = pages[-1]
        for earlier in reversed(pages[:-1]):
            assert here.previous is not None
            here = read(index, query, here.previous)
            assert [one.id for one in here.matches] == [one.id for one in earlier.matches]
            assert here.total == COUNT / 3
            again = read(index, query, here.next)
            assert again.matches == pages[pages.index(earlier) + 1].matches
        assert here.previous is None


@pytest.mark.parametrize("sort", ["", "&_sort=-birthdate,given", "&_sort=-family"])
def test_another_index_goes_on_with_the_same_moment(index: IndexFile, tmp_path: Path, sort: str) -> None:
    """Two servers take turns; what was not written meanwhile comes exactly once, on each as of one moment."""
    (tmp_path / "other").mkdir()
    other = new_index(tmp_path / "other")
    other.apply(Batch([patient(n, 1, ("Sought", "Other", "Third")[n % 3]) for n in range(COUNT)], at=NOW))
    other.apply(Batch([patient(COUNT + 1, 1, "Sought")], at=NOW))
    index.apply(Batch([patient(COUNT + 1, 1, "Sought")], at=NOW))
    query = f"family=sought&_count=9&_total=accurate{sort}"
    seen: list[str] = []
    found = read(index, query)
    servers = [other, index]
    while True:
        seen += [one.id for one in found.matches]
        assert found.total == COUNT / 3 + 1
        if found.next is None:
            break
        for server in servers:  # only ever after the moment of the first page
            server.apply(Batch([patient(0, len(seen), "Sought"), patient(1, len(seen), "Sought")], at=NOW + 2_000))
        servers.reverse()
        found = read(servers[0], query, found.next)
    settled = [name for name in seen if name not in ("p0", "p1")]
    assert len(settled) == len(set(settled)) == COUNT / 3
    assert set(seen) - {"p1"} == {f"p{n}" for n in range(0, COUNT, 3)} | {f"p{COUNT + 1}"}
    other.close()


def test_an_index_that_looked_too_late_refuses_the_moment_of_another(index: IndexFile, tmp_path: Path) -> None:
    """What it has applied at once may be the writes of an hour; it does not show some of them for none."""
    (tmp_path / "other").mkdir()
    other = new_index(tmp_path / "other")
    other.apply(Batch([patient(n, 1, "Sought") for n in range(COUNT)], at=NOW + 3_600_000))
    cursor = read(index, "family=sought&_count=9").next
    with pytest.raises(CursorExpired):
        read(other, "family=sought&_count=9", cursor)
    other.close()


@pytest.mark.parametrize("later", [True, False])
def test_another_index_does_not_go_on_where_its_build_or_its_purges_ended(
    index: IndexFile, tmp_path: Path, later: bool
) -> None:
    """A build ends some seconds before it was read, and a purge is applied alone: what was acknowledged just before the
    first page comes after that.
    """
    (tmp_path / "other").mkdir()
    other = new_index(tmp_path / "other")
    some = [patient(n, 1, ("Sought", "Other", "Third")[n % 3]) for n in range(COUNT)]
    other.apply(Batch(some[:60], at=NOW + 10, keep_old=False))
    other.mark(READY)
    if later:
        other.apply(Batch(at=NOW - 10, complete=True))
        other.apply(Batch([replace(patient(1, 1, None), purged=True)], at=NOW + 20))
    other.apply(Batch(some[60:], at=NOW + 30, complete=True))
    first = read(index, "family=sought&_count=50")
    assert len(read(other, "family=sought&_count=50", first.next).matches) == COUNT / 3 - 50
    other.close()


def test_a_number_that_came_to_stand_for_another_moment_is_refused(index: IndexFile) -> None:
    """After a power cut a file may be some batches back, and apply others under the same numbers."""
    cursor = read(index, "family=sought&_count=9").next
    with closing(sqlite3.connect(index.path)) as connection:
        connection.execute("UPDATE moment SET at = at + 1")
        connection.commit()
    with pytest.raises(CursorExpired):
        read(index, "family=sought&_count=9", cursor)


def test_another_resource_at_the_place_of_the_cursor_is_refused(index: IndexFile, tmp_path: Path) -> None:
    """An index that knows other first events has other numbers: it cannot go on there."""
    (tmp_path / "other").mkdir()
    other = new_index(tmp_path / "other")
    other.apply(Batch([replace(patient(n, 1, "Sought"), born=NOW + COUNT - n) for n in range(COUNT)], at=NOW))
    cursor = read(index, "family=sought&_count=9").next
    with pytest.raises(CursorExpired):
        read(other, "family=sought&_count=9", cursor)
    other.close()


def test_a_long_key_is_not_in_the_cursor(index: IndexFile) -> None:
    """It is looked up, so that cursors stay short."""
    long = "x" * 5_000
    index.apply(Batch([patient(n, 2, f"{long}{n % 5}") for n in range(20)], at=NOW))
    query, cursor, seen = "_sort=-family&_count=3&family:missing=false", None, []
    for _ in range(8):
        found = read(index, query, cursor)
        seen += [one.id for one in found.matches]
        cursor = found.next
        assert cursor is not None
        assert len(cursor) < 400
    assert seen[:20] == sorted((f"p{n}" for n in range(20)), key=lambda name: (-(int(name[1:]) % 5), int(name[1:])))


def test_a_moment_that_is_not_kept_is_refused(index: IndexFile) -> None:
    """Also that of another index; a page is never as of another moment."""
    cursor = read(index, "family=sought&_count=9").next
    index.apply(Batch([patient(0, 2, "Other")], at=NOW + 1))
    assert read(index, "family=sought&_count=9", cursor).matches
    index.apply(Batch([patient(0, 3, "Other")], at=NOW + 2))
    index.prune(NOW + 2)
    with pytest.raises(CursorExpired):
        read(index, "family=sought&_count=9", cursor)


def test_a_cursor_belongs_to_its_search(index: IndexFile) -> None:
    """With another search, or made up, it is refused."""
    cursor = read(index, "family=sought&_count=9").next
    assert cursor is not None
    for query, text in (("family=other&_count=9", cursor), ("family=sought&_count=9", cursor[:-4]), ("", "x" * 5_000)):
        with pytest.raises(InvalidResource, match="start again"):
            read(index, query, text)


def test_what_is_not_wholly_indexed_is_told_to_those_without_limits(
    index: IndexFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To others it would tell of resources that they may not see."""
    monkeypatch.setattr("fhirstore.index.local.rows.MOST_ROWS", 1)
    names: list[object] = [{"family": "A"}, {"family": "B"}]
    content = json.encode({"resourceType": "Patient", "id": "cut", "name": names})
    index.apply(Batch([Change("Patient", "cut", 1, NOW, NOW, content)], at=NOW))
    query = asked(index, "Patient", "")
    with index.read() as reader:
        assert page(reader, query, None, now=NOW).partly == ("Patient",)
        assert page(reader, query, None, now=NOW, limits=lambda _: ById(frozenset({"p1"}))).partly == ()
