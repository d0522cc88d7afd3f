"""An index file: all of a batch or nothing of it, in any order, read as of one moment."""

from __future__ import annotations

import itertools
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fhirstore.fhir import json
from fhirstore.fhir.json import JsonObject
from fhirstore.index.local import apply
from fhirstore.index.local.apply import Batch, Change, IndexDamaged, IndexReplaced
from fhirstore.index.local.file import IndexFile
from fhirstore.index.local.noted import BUILDING, READY
from fhirstore.index.local.placing import remove, why_aside
from fhirstore.index.local.schema import VALUES
from fhirstore.search.pages.finding import find
from fhirstore.search.plans.order import Position
from tests.search.local.indexing import asked, new_index, search
from tests.search.matching.asking import NOW


@pytest.fixture
def index(tmp_path: Path) -> Iterator[IndexFile]:
    """An empty index."""
    index = new_index(tmp_path)
    yield index
    index.close()


def patient(version: int, family: str | None, *, id: str = "p", born: int = NOW) -> Change:
    """A version of a Patient; None: its tombstone."""
    resource: JsonObject = {"resourceType": "Patient", "id": id, "name": [{"family": family}]}
    return Change("Patient", id, version, NOW + version, born, None if family is None else json.encode(resource))


def tables(index: IndexFile) -> dict[str, list[tuple[object, ...]]]:
    """All rows that are valid now, without the numbers of batches."""
    with index.read() as reader:
        found = {
            table: sorted(reader.rows(f"SELECT {', '.join(columns)}, rid FROM {table}"))  # noqa: S608
            for table, columns in VALUES.items()
        }
        found["resource"] = reader.rows("SELECT rid, name, type, id, version, t, shape FROM resource ORDER BY rid")
        found["gone"] = reader.rows("SELECT * FROM gone ORDER BY name")
        return found


def test_versions_may_be_applied_in_any_order_and_again(tmp_path: Path) -> None:
    """What is there in the end is the same, however they came."""
    changes = [patient(1, "One"), patient(2, "Two"), patient(3, None), patient(4, "Four")]
    results = []
    for number, order in enumerate(itertools.permutations(changes)):
        folder = tmp_path / str(number)
        folder.mkdir()
        index = new_index(folder)
        for change in (*order, *order):
            index.apply(Batch([change], at=NOW))
        assert search(index, "Patient", "family=four") == ["p"]
        assert search(index, "Patient", "family=one,two") == []
        with index.read() as reader:
            rows = reader.rows("SELECT version, rid FROM resource UNION ALL SELECT version, rid FROM gone")
        results.append(rows)
        index.close()
    assert all(one == results[0] for one in results)


def test_an_update_touches_no_row_that_stays(index: IndexFile) -> None:
    """Rows that both versions have keep the number of the batch that brought them."""
    index.apply(Batch([patient(1, "Same")], at=NOW))
    with index.read() as reader:
        before = reader.rows("SELECT * FROM string")
    changed: JsonObject = {"resourceType": "Patient", "id": "p", "name": [{"family": "Same"}], "active": True}
    index.apply(Batch([Change("Patient", "p", 2, NOW, NOW, json.encode(changed))], at=NOW))
    with index.read() as reader:
        assert reader.rows("SELECT * FROM string") == before
        assert reader.rows("SELECT count(*) FROM string_old") == [(0,)]
        assert reader.rows("SELECT count(*), max(since) FROM token GROUP BY since") == [(1, 1), (1, 2)]


def test_a_batch_that_fails_leaves_nothing(index: IndexFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither rows nor the watermark; the next one is applied as if that had not been."""
    index.apply(Batch([patient(1, "Before")], watermark=5, at=NOW))
    before = tables(index)

    def failing(*_: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(apply.Applying, "_end_rows", failing)
        with pytest.raises(RuntimeError):
            index.apply(Batch([patient(2, "After"), patient(1, "New", id="q")], watermark=9, at=NOW))
    assert (tables(index), index.watermark) == (before, 5)
    index.apply(Batch([patient(2, "After"), patient(1, "New", id="q")], watermark=9, at=NOW))
    assert sorted(search(index, "Patient", "family=after,new")) == ["p", "q"]
    assert index.watermark == 9


def test_an_index_is_opened_while_another_writes(index: IndexFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build writes for seconds at once; whoever opens the file meanwhile does not wait for it."""
    monkeypatch.setattr("fhirstore.index.local.placing._BUSY", 0.0)
    with closing(sqlite3.connect(index.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        new_index(index.path.parent).close()


def test_the_watermark_never_goes_back(index: IndexFile) -> None:
    """A batch of a slower process may bring an earlier one."""
    index.apply(Batch(watermark=9))
    index.apply(Batch(watermark=5))
    assert index.watermark == 9


def test_another_process_applies_to_the_same_file(index: IndexFile, tmp_path: Path) -> None:
    """Both read what either has applied, and each batch has a number of its own."""
    other = new_index(tmp_path)
    done = [
        index.apply(Batch([patient(1, "Mine", id="m")], at=NOW)),
        other.apply(Batch([patient(1, "Theirs")], at=NOW)),
    ]
    assert done == [1, 2]
    assert search(index, "Patient", "family=theirs") == search(other, "Patient", "family=theirs") == ["p"]
    threads = [
        threading.Thread(target=one.apply, args=(Batch([patient(1, "Many", id=f"{name}{n}")], at=NOW),))
        for n in range(20)
        for name, one in (("a", index), ("b", other))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(search(index, "Patient", "family=many")) == 40
    with other.read() as reader:
        assert reader.seq == 42
    other.close()


def test_old_rows_are_dropped_when_nobody_may_ask_for_them(index: IndexFile) -> None:
    """Searches as of a time that is kept go on; those of before are known by `oldest`."""
    for number in range(1, 6):
        index.apply(Batch([patient(number, f"Name{number}")], at=NOW + number))
    index.prune(NOW + 4)
    with index.read() as reader:
        assert reader.oldest == 3
        for seq in (3, 4, 5):
            query = asked(index, "Patient", f"family=name{seq}")
            assert [one.version for one in find(reader, query, now=NOW, seq=seq).names] == [seq]
        assert reader.rows("SELECT count(*) FROM string_old WHERE until <= 3") == [(0,)]


def test_what_was_made_lately_is_kept_however_old_what_it_surely_holds(index: IndexFile) -> None:
    """What a process applies of its own says no more of what others wrote than the batch before: its moment is as old.

    Yet the one that it followed may have been shown until then.
    """
    index.mark(READY)
    index.apply(Batch([patient(1, "Old")], at=NOW, complete=True))
    index.apply(Batch([patient(2, "Shown")], at=NOW + 5))
    index.apply(Batch([patient(3, "New")], at=NOW + 9))
    with index.read() as reader:
        assert [reader.at(seq) for seq in (1, 2, 3)] == [NOW, NOW, NOW]
    index.prune(NOW + 7)
    with index.read() as reader:
        assert reader.oldest == 2
        query = asked(index, "Patient", "family=shown")
        assert [one.version for one in find(reader, query, now=NOW, seq=2).names] == [2]
    index.prune(NOW + 10)
    with index.read() as reader:
        assert reader.oldest == 3


def profiled(version: int, code: str, *profiles: str, id: str = "p") -> Change:
    """A version of a Basic, with a code and profiles."""
    concept = {"coding": [{"code": code}], "text": f"Text of {code}"}
    resource: JsonObject = {"resourceType": "Basic", "id": id, "meta": {"profile": list(profiles)}, "code": concept}
    return Change("Basic", id, version, NOW + version, NOW, json.encode(resource))


def texts(index: IndexFile) -> list[object]:
    """All texts of the dictionaries."""
    with index.read() as reader:
        query = "SELECT text FROM phrase UNION ALL SELECT text FROM code ORDER BY text"
        return [row[0] for row in reader.rows(query)]


def test_a_text_is_dropped_with_the_last_row_that_has_it(index: IndexFile, tmp_path: Path) -> None:
    """When old rows are; and its number is free for other texts, in every process."""
    other = new_index(tmp_path)
    index.apply(Batch([profiled(1, "one", "http://x/a", "http://x/b")], at=NOW))
    other.apply(Batch([profiled(2, "two", "http://x/b"), profiled(1, "two", id="q")], at=NOW + 1))
    index.prune(NOW)
    assert texts(index) == ["http://x/a", "http://x/b", "one", "text of one", "text of two", "two"]
    index.prune(NOW + 2)
    assert texts(index) == ["http://x/b", "text of two", "two"]
    index.apply(Batch([Change("Basic", "p", 3, NOW, NOW, None)], at=NOW + 2))
    index.prune(NOW + 3)
    assert texts(index) == ["text of two", "two"]
    for number, (file, url) in enumerate([(index, "http://x/c"), (other, "http://x/b")], 4):
        file.apply(Batch([profiled(number, "one", url)], at=NOW + number))
    assert search(index, "Basic", "_profile=http://x/b") == search(index, "Basic", "code=one") == ["p"]
    assert search(index, "Basic", "_profile=http://x/c") == []
    other.close()


def test_a_purge_leaves_no_text(index: IndexFile) -> None:
    """Not even of rows that are kept for searches as of earlier; what others have stays."""
    index.apply(Batch([profiled(1, "one", "http://x/a"), profiled(1, "two", "http://x/b", id="q")], at=NOW))
    index.apply(Batch([profiled(2, "secret", "http://x/b")], at=NOW + 1))
    index.apply(Batch([Change("Basic", "p", 2, NOW, NOW, None, purged=True)], at=NOW + 2))
    assert texts(index) == ["http://x/b", "text of two", "two"]


def test_many_resources_are_applied_with_few_statements_and_are_all_found(index: IndexFile) -> None:
    """Also those that are left over when rows are inserted several at a time, and a second version of each."""
    for version, family in enumerate(("Before", "After"), 1):
        index.apply(Batch([patient(version, family, id=f"p{n}", born=NOW + n) for n in range(333)], at=NOW))
    assert search(index, "Patient", "family=after") == [f"p{n}" for n in range(333)]
    assert search(index, "Patient", "family=before") == []


def test_what_is_cut_is_known_by_type(index: IndexFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """A resource with more values than are indexed, until a version has fewer, or there is none."""
    monkeypatch.setattr("fhirstore.index.local.rows.MOST_ROWS", 3)
    names: list[object] = [{"family": f"N{number}"} for number in range(5)]
    many = json.encode({"resourceType": "Patient", "id": "p", "name": names})
    index.apply(Batch([Change("Patient", "p", 1, NOW, NOW, many), profiled(1, "one")], at=NOW))
    with index.read() as reader:
        assert reader.cut() == {"Patient"}
    index.apply(Batch([patient(2, "One")], at=NOW))
    with index.read() as reader:
        assert reader.cut() == set()


def test_the_order_is_that_of_creation_in_every_index(tmp_path: Path, index: IndexFile) -> None:
    """Two indexes that took the versions in another order continue each other's pages."""
    changes = [patient(1, "Same", id=f"p{number}", born=NOW + number // 3) for number in range(30)]
    folder = tmp_path / "other"
    folder.mkdir()
    other = new_index(folder)
    index.apply(Batch(changes, at=NOW))
    for change in reversed(changes):
        other.apply(Batch([change], at=NOW))
    in_order = search(index, "Patient", "family=same")
    assert [int(id_[1:]) // 3 for id_ in in_order] == [number // 3 for number in range(30)]
    assert search(other, "Patient", "family=same") == in_order
    query = asked(index, "Patient", "family=same&_count=7")
    with index.read() as reader:
        first = find(reader, query, now=NOW).names
    with other.read() as reader:
        second = find(reader, query, now=NOW, after=Position((), first[-1].rid)).names
    assert [one.id for one in (*first, *second)] == in_order[:14]


@pytest.mark.parametrize("what", ["layout", "catalogue", "identity"])
def test_a_file_of_something_else_is_set_aside(what: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Another layout, other definitions, another store: an index is never reinterpreted. One line says so."""
    index = new_index(tmp_path)
    index.apply(Batch([patient(1, "Old")], at=NOW))
    index.mark(READY)
    index.close()
    with sqlite3.connect(index.path) as connection:
        connection.execute("UPDATE meta SET value = 'other' WHERE key = ?", (what,))
    connection.close()
    again = new_index(tmp_path)
    assert (again.state, search(again, "Patient", "")) == (BUILDING, [])
    assert (tmp_path / "index.sqlite.damaged").exists()
    again.close()
    (told,) = caplog.messages
    why = {"layout": "another layout", "catalogue": "another FHIR release", "identity": "another store"}[what]
    assert str(index.path) in told
    assert why in told
    assert (aside := why_aside(index.path)) is not None
    assert why in aside
    assert remove(index.path)
    assert why_aside(index.path) is None
    assert not list(tmp_path.glob("index.sqlite.damaged*"))


def test_a_file_that_is_no_database_is_set_aside(tmp_path: Path) -> None:
    """Whatever it is."""
    (tmp_path / "index.sqlite").write_bytes(b"not a database" * 1_000)
    index = new_index(tmp_path)
    assert index.state == BUILDING
    index.close()
    with pytest.raises(IndexDamaged):
        index.watermark  # noqa: B018


def test_a_file_that_another_process_made_anew_is_noticed(tmp_path: Path) -> None:
    """Also where SQLite tells of it in its own words: what it keeps beside the file belongs to the new one then."""
    index = new_index(tmp_path)
    index.apply(Batch([patient(1, "One")], at=NOW))
    index.path.unlink()
    other = new_index(tmp_path)
    other.apply(Batch([patient(1, "One"), patient(2, "Two")], at=NOW))
    for change in (patient(3, "Three"), patient(4, None)):
        with pytest.raises(IndexReplaced):
            index.apply(Batch([change], at=NOW))
            index.check()
    with pytest.raises(IndexReplaced), index.read():
        pass
    assert search(other, "Patient", "family=two") == ["p"]
    index.close()
    other.close()


@pytest.mark.parametrize("foreign", [False, True])
def test_a_file_that_was_put_beside_the_log_of_another_is_set_aside(foreign: bool, tmp_path: Path) -> None:
    """An older copy, or the file of another tenant, with the log that a killed process has left: it is no index."""
    path, put = tmp_path / "index.sqlite", tmp_path / "put"
    index = new_index(tmp_path)
    index.apply(Batch([patient(1, "Sought", id=f"p{number}") for number in range(200)]))
    index._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    if foreign:
        (tmp_path / "other").mkdir()
        other = new_index(tmp_path / "other")
        other.apply(Batch([patient(1, "Sought", id=f"p{number}") for number in range(500, 900)]))
        other.close()
    shutil.copy(tmp_path / "other" / path.name if foreign else path, put)
    index.apply(Batch([patient(1, "Sought", id=f"p{number}") for number in range(200, 400)]))
    index._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    index.apply(Batch([patient(1, "Sought", id="p999")]))
    put.replace(path)
    again = new_index(tmp_path)
    assert again.facts().resources == 0
    with pytest.raises(IndexReplaced):
        index.check()
    again.close()
    index.close()
