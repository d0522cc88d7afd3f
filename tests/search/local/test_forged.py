"""Cursors that were made up, and criteria that probe, tell nothing of what is hidden, and break nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest

from fhirstore.errors import CursorExpired, FhirError, InvalidResource
from fhirstore.fhir.json import JsonObject
from fhirstore.index.local.file import IndexFile
from fhirstore.index.local.reader import Reader
from fhirstore.search.criteria.criterion import ById, Criterion
from fhirstore.search.pages.finding import find
from fhirstore.search.pages.snapshot import SnapshotPage, page
from tests.search.local.indexing import asked, fill, new_index
from tests.search.matching.asking import NOW

LONG = "n" * 300
HIDDEN: list[JsonObject] = [
    {"resourceType": "Patient", "id": "hidden", "name": [{"family": f"{LONG}m"}]},
    {
        "resourceType": "Observation",
        "id": "hidden",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": "Patient/hidden"},
        "component": [
            {"code": {"coding": [{"system": "urn:c", "code": "secret"}]}, "valueCodeableConcept": {"text": "y"}}
        ],
    },
]


def patient(n: int, letter: str) -> JsonObject:
    """One that is seen."""
    return {"resourceType": "Patient", "id": f"p{n}", "name": [{"family": f"{LONG}{letter}"}]}


def observation(n: int) -> JsonObject:
    """One that is seen."""
    code = {"coding": [{"system": "urn:c", "code": f"k{n}"}]}
    return {
        "resourceType": "Observation",
        "id": f"o{n}",
        "status": ("final", "amended")[n % 2],
        "code": {"coding": [{"system": "urn:c", "code": f"c{n}"}]},
        "subject": {"reference": f"Patient/p{n % 7}"},
        "effectiveDateTime": f"{1990 + n}",
        "valueQuantity": {"value": n, "unit": "mg"},
        "component": [{"code": code, "valueQuantity": {"value": 1}}],
    }


SEEN = [*(patient(n, letter) for n, letter in enumerate("abckxyz")), *map(observation, range(60))]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IndexFile]:
    """What is hidden, and what is seen."""
    index = new_index(tmp_path_factory.mktemp("forged"))
    fill(index, [*HIDDEN, *SEEN])
    yield index
    index.close()


def limits(type: str) -> Criterion:
    """All but `hidden`."""
    return ById(frozenset(str(one["id"]) for one in SEEN if one["resourceType"] == type))


def read(reader: Reader, index: IndexFile, query: str, cursor: str | None) -> SnapshotPage:
    """One page, as whoever sees SEEN alone sees it."""
    type_, _, text = query.partition("?")
    return page(reader, asked(index, type_, text), cursor, now=NOW, limits=limits)


def forged(cursor: str, **changes: object) -> str:
    """The cursor with other members, by their place in it."""
    parts = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    for name, value in changes.items():
        parts[int(name.removeprefix("at"))] = value
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


SORTS = ["date", "code", "value-quantity", "subject", "_lastUpdated", "_id", "status,-date", "-subject,code"]


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize(
    "key", [5, -(2**63), "tabc", "t\x00", "b00ff", "b", None, "l", "bzz", "", 1.5, 2**63, "t\ud800"]
)
def test_a_cursor_that_was_made_up_is_refused_or_shows_another_page(index: IndexFile, sort: str, key: object) -> None:
    """Whatever its keys are, of whatever kind, and wherever its place is."""
    query = f"Observation?_sort={sort}&_count=5"
    with index.read() as reader:
        cursor = read(reader, index, query, None).next
        assert cursor is not None
        for rid in (0, 2**63 - 1, find(reader, asked(index, "Observation", ""), now=NOW).names[0].rid):
            for backwards in (False, True):
                text = forged(cursor, at4=[key] * (sort.count(",") + 1), at5=rid, at7=backwards)
                try:
                    names = read(reader, index, query, text).matches
                except FhirError as error:
                    assert isinstance(error, (CursorExpired, InvalidResource))
                else:
                    assert all(one.id != "hidden" for one in names)


def test_the_sort_key_of_what_is_hidden_cannot_be_looked_up(index: IndexFile) -> None:
    """A cursor that names it as the last match would show what comes after it."""
    query = "Patient?_sort=family&_count=3"
    with index.read() as reader:
        cursor = read(reader, index, query, None).next
        assert cursor is not None
        assert [one.id for one in read(reader, index, query, cursor).matches] == ["p3", "p4", "p5"]
        (hidden,) = find(reader, asked(index, "Patient", "_id=hidden"), now=NOW).names
        answers = set()
        for rid in (hidden.rid, hidden.rid + 1):
            with pytest.raises(CursorExpired) as refused:
                read(reader, index, query, forged(cursor, at5=rid))
            answers.add(str(refused.value))
        assert len(answers) == 1


def test_a_cursor_of_another_index_does_not_tell_what_is_there(index: IndexFile) -> None:
    """It names the resource at its place; of one that is hidden the answer is that of one that is not there."""
    query = "Patient?_count=3"
    with index.read() as reader:
        cursor = read(reader, index, query, None).next
        assert cursor is not None
        foreign = forged(cursor, at2={"another": [1, NOW]})
        assert [one.id for one in read(reader, index, query, foreign).matches] == ["p3", "p4", "p5"]
        everywhere = page(reader, asked(index, "Patient", "_count=1"), None, now=NOW).next
        assert everywhere is not None
        _, _, _, _, _, rid, name, *_ = json.loads(base64.urlsafe_b64decode(everywhere + "=" * (-len(everywhere) % 4)))
        for some in (name, "0" * 12):
            with pytest.raises(CursorExpired):
                read(reader, index, query, forged(foreign, at5=rid, at6=some))


def test_whether_others_have_a_code_is_not_told_by_what_is_too_much(index: IndexFile) -> None:
    """As many values of a composite as there may be, the last one of something hidden, or of nothing."""
    known = ",".join(f"k{n}$gt0" for n in range(49))
    with index.read() as reader:
        for probe in ("secret", "nothing"):
            query = asked(index, "Observation", f"component-code-value-quantity={known},{probe}$gt0&_count=100")
            assert len(find(reader, query, now=NOW, limits=limits).names) == 49
        query = asked(index, "Observation", f"component-code-value-quantity={known},a$gt0,b$gt0")
        with pytest.raises(InvalidResource):
            find(reader, query, now=NOW, limits=limits)
