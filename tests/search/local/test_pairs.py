"""What has a code and another value is found without looking at all that have one of them."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

import pytest

from fhirstore.fhir import json
from fhirstore.fhir.json import JsonObject
from fhirstore.index.local.apply import Batch, Change
from fhirstore.index.local.file import IndexFile
from fhirstore.search.pages import finding
from fhirstore.search.pages.finding import find
from fhirstore.search.plans.branch import Branch
from fhirstore.search.plans.order import Position
from fhirstore.search.plans.pairs import Pairs
from tests.search.local.indexing import asked, fill, found, new_index, search
from tests.search.matching.asking import NOW

COUNT = 2_000
CODES = ("a", "b", "c", "d")
SEARCHES = (
    ("Observation", "code=a&_sort=-date"),
    ("Observation", "code=a&_sort=date,-_id"),
    ("Observation", "code=urn:s|b,c&_sort=-date"),
    ("Observation", "code=a&status=final&_sort=-date"),
    ("Observation", "code=a&value-quantity=ge500&value-quantity=lt510"),
    ("Observation", "code=a,b&value-quantity=lt7||g"),
    ("Observation", "code=c&value-quantity=0.1|http://unitsofmeasure.org|kg"),
    ("Observation", "code-value-quantity=a$gt1980"),
    ("Observation", "code=a&patient=p3"),
    ("Observation", "code=urn:s|a&patient=Patient/p3,Patient/p4&value-quantity=gt1000"),
    ("Patient", "_has:Observation:patient:code=a"),
    ("Patient", "_has:Observation:patient:code=a,b&active=true"),
    ("Patient", "_has:Observation:patient:code=none"),
    ("Patient", "family=fa&_has:Observation:patient:code=a"),
    ("Patient", "family=fa&_has:Observation:patient:code=urn:s|b,c&_has:Observation:patient:code=d&active=true"),
)


def observation(n: int, **others: object) -> JsonObject:
    """One of them: its code, its value, its date and its patient are in no order, and say nothing of each other."""
    mixed = n * 787 % COUNT
    value: JsonObject = {"value": mixed, "unit": "g", "system": "http://unitsofmeasure.org", "code": "g"}
    if n % 50 == 0:
        value["comparator"] = "<"
    return {
        "resourceType": "Observation",
        "id": f"o{n:04}",
        "status": "final" if n % 3 else "amended",
        "code": {"coding": [{"system": "urn:s", "code": CODES[n % 4]}, {"code": CODES[n % 3]}]},
        "subject": {"reference": f"Patient/p{n * 31 % 97}"},
        "effectiveDateTime": f"{1000 + n * 389 % COUNT:04}",
        "valueQuantity": value,
        **others,
    }


def patient(n: int) -> JsonObject:
    """One of them."""
    name = {"family": "Fa" if n % 3 else "Fo", "given": ["Fa"]}
    return {"resourceType": "Patient", "id": f"p{n}", "active": n % 2 == 0, "name": [name, {"family": "Fab"}]}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IndexFile]:
    """Observations, and their patients."""
    index = new_index(tmp_path_factory.mktemp("pairs"))
    fill(index, [*map(patient, range(100)), *map(observation, range(COUNT))])
    yield index
    index.close()


def steps(index: IndexFile, type: str, query: str) -> int:
    """Returns about how many steps of SQLite a page takes."""
    taken = 0

    def count() -> int:
        nonlocal taken
        taken += 100
        return 0

    with index.read() as reader:
        reader.hurried = True  # its steps are counted here
        reader.connection.set_progress_handler(count, 100)
        find(reader, asked(index, type, query), now=NOW)
        reader.connection.set_progress_handler(None, 0)
    return taken


@pytest.mark.parametrize(("type", "query"), SEARCHES)
def test_pairs_change_no_answer(index: IndexFile, type: str, query: str) -> None:
    """All matches are found, once each and in the same order, as without pairs."""
    with_pairs = search(index, type, query)
    with patch.object(Pairs, "pairings", lambda *_: {}):
        without = search(index, type, query)
    assert with_pairs == without
    assert with_pairs or "none" in query


@pytest.mark.parametrize(("type", "query"), SEARCHES[:2])
def test_a_page_costs_what_it_shows(index: IndexFile, type: str, query: str) -> None:
    """Not what has the code alone."""
    with_pairs = steps(index, type, f"{query}&_count=20")
    with patch.object(Pairs, "pairings", lambda *_: {}):
        without = steps(index, type, f"{query}&_count=20")
    assert with_pairs * 2 < without, (with_pairs, without)


def test_pages_follow_each_other_in_the_order_of_dates(index: IndexFile) -> None:
    """Also backwards."""
    query = "code=a&_sort=-date&_count="
    with index.read() as reader:
        whole = find(reader, asked(index, "Observation", f"{query}1000"), now=NOW).names
        third = find(reader, asked(index, "Observation", f"{query}20"), now=NOW, after=_at(whole[39])).names
        back = find(reader, asked(index, "Observation", f"{query}20"), now=NOW, before=_at(whole[40])).names
    assert (back, third) == (whole[20:40], whole[40:60])


def test_those_that_are_referred_to_are_found_page_by_page(index: IndexFile) -> None:
    """In order and once each, by the names of a part of the candidates; the next pages know these names."""
    type, query = "Patient", "family=fa&_has:Observation:patient:code=a"
    with (
        index.read() as reader,
        patch.object(Branch, "_referred", autospec=True, side_effect=Branch._referred) as looked,
    ):
        whole = find(reader, asked(index, type, f"{query}&_count=1000"), now=NOW).names
        pages: list[finding.Name] = []
        after: Position | None = None
        while more := find(reader, asked(index, type, f"{query}&_count=7"), now=NOW, after=after).names:
            pages += more
            after = _at(more[-1])
        back = find(reader, asked(index, type, f"{query}&_count=7"), now=NOW, before=_at(whole[-1])).names
    assert looked.call_count > 3
    assert tuple(pages) == whole
    assert back == whole[-8:-1]
    assert [one.id for one in whole] == search(index, type, query)


def test_a_number_is_that_of_one_name_for_ever(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Also of what is deleted, and comes back; whatever a connection has read before."""
    changing = new_index(tmp_path_factory.mktemp("names"))
    fill(changing, [patient(n) for n in range(9)])
    with changing.read() as reader:
        rows: dict[int, int] = dict(reader.connection.execute("SELECT rid, name FROM resource ORDER BY rid").fetchall())
        rids = list(rows)
        first = dict(reader.names(rids[:5]))
    for version, content in ((2, None), (3, json.encode(patient(2)))):
        changes = [Change("Patient", f"p{n}", version, NOW + version, NOW, content) for n in (2, 7)]
        changing.apply(Batch(changes, at=NOW + version))
        with changing.read() as reader:
            assert dict(reader.names(rids)) == rows
    assert first == {rid: rows[rid] for rid in rids[:5]}
    changing.close()


def _at(name: finding.Name) -> Position:
    return Position(name.keys, name.rid)


def test_pairs_end_with_what_they_are_of(index: IndexFile, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A search as of earlier finds what was there; a later one, what is."""
    del index
    changing = new_index(tmp_path_factory.mktemp("changing"))
    queries = [
        ("Observation", "code=a&_sort=-date"),
        ("Observation", "code=a&value-quantity=gt100"),
        ("Patient", "_has:Observation:patient:code=a"),
        ("Patient", "family=fa&_has:Observation:patient:code=a"),
    ]
    some = [observation(n) for n in range(300)]
    fill(changing, [*map(patient, range(100)), *some])

    def everything(seq: int | None = None) -> list[list[str]]:
        with changing.read() as reader:
            return [found(reader, asked(changing, type, f"{query}&_count=1000"), seq=seq) for type, query in queries]

    before, first = everything(), 1
    for n in range(0, 300, 3):  # of each third, the code goes; the others have another date and value
        some[n] = observation(n, code={"text": "none"})
    for n in range(1, 300, 3):
        some[n] = observation(n, effectiveDateTime=f"{3000 + n}", valueQuantity={"value": 5000 - n, "unit": "g"})
    batch = [
        Change("Observation", str(one["id"]), 2, NOW + 10_000, NOW, json.encode(one) if n % 3 < 2 else None)
        for n, one in enumerate(some)
    ]
    batch += [Change("Patient", f"p{n}", 2, NOW + 10_000, NOW, None) for n in range(0, 90, 7)]
    changing.apply(Batch(batch, at=NOW + 10_000))
    after = everything()
    with patch.object(Pairs, "pairings", lambda *_: {}):
        assert (before, after) == (everything(first), everything())
    assert everything(first) == before
    assert all(after)
    assert all(one != other for one, other in zip(before, after, strict=True))
    changing.close()


def test_a_type_with_too_many_pairs_is_searched_without(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No match is lost."""
    monkeypatch.setattr("fhirstore.index.local.pairs.MOST_PAIRS", 2)
    monkeypatch.setattr("fhirstore.index.local.apply.MOST_PAIRS", 2)
    cutting = new_index(tmp_path_factory.mktemp("cutting"))
    fill(cutting, [observation(n) for n in range(8)])
    with cutting.read() as reader:
        assert reader.cut() == {"Observation"}
    assert search(cutting, "Observation", "code=a&value-quantity=lt5000") == ["o0000", "o0003", "o0004", "o0006"]
    cutting.close()
