"""Of each kind of Observation the newest come, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from fhirstore.errors import InvalidResource
from fhirstore.fhir.json import JsonObject
from fhirstore.index.local.file import IndexFile
from fhirstore.search.criteria.criterion import AnyOf, Criterion
from fhirstore.search.criteria.limits import Limits, everything
from fhirstore.search.pages import lastn
from tests.search.local.indexing import asked, fill, new_index
from tests.search.matching.asking import NOW


def observation(id: str, code: JsonObject, year: int | None, patient: str = "p") -> JsonObject:
    """An Observation of a patient, of a year."""
    return {
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "code": code,
        "subject": {"reference": f"Patient/{patient}"},
        **({} if year is None else {"effectiveDateTime": str(year)}),
    }


def coded(*codes: str) -> JsonObject:
    """A concept with these codes, each after its system."""
    return {"coding": [dict(zip(("system", "code"), one.split("|"), strict=True)) for one in codes]}


@pytest.fixture
def index(tmp_path: Path) -> Iterator[IndexFile]:
    """Weights of two systems, of which one is a translation of the other, pulses, and texts."""
    index = new_index(tmp_path)
    fill(
        index,
        [
            observation("w0", coded("urn:a|weight"), 2010),
            observation("w1", coded("urn:a|weight", "urn:b|w"), 2013),
            observation("w2", coded("urn:b|w"), 2012),
            observation("w3", coded("urn:a|weight"), None),
            observation("p0", coded("urn:a|pulse"), 2011),
            observation("p1", coded("urn:b|weight"), 2009),
            observation("t0", {"text": "Mood"}, 2001),
            observation("t1", {"text": "Mood"}, 2002),
            observation("t2", {"text": "Sleep"}, 2003),
            observation("x0", coded("urn:a|weight"), 2020, "q"),
        ],
    )
    yield index
    index.close()


def last(index: IndexFile, query: str, most: int, limits: Limits = everything) -> list[str]:
    """Their ids."""
    with index.read() as reader:
        search = asked(index, "Observation", query)
        return [one.id for one in lastn.last_of_each(reader, search, most, now=NOW, limits=limits)]


@pytest.mark.parametrize(
    ("query", "most", "expected"),
    [
        ("patient=p", 1, ["w1", "p0", "p1", "t2", "t1"]),
        ("patient=p", 2, ["w1", "w2", "p0", "p1", "t2", "t1", "t0"]),
        ("patient=p&code=urn:a|weight", 9, ["w1", "w0", "w3"]),
        ("", 1, ["x0", "p0", "p1", "t2", "t1"]),
        ("patient=none", 1, []),
    ],
)
def test_the_newest_of_each_kind_come(index: IndexFile, query: str, most: int, expected: list[str]) -> None:
    """By date, the newest first; a translation joins two codes, the same code of two systems does not."""
    assert last(index, query, most) == expected


def test_what_is_hidden_does_not_count(index: IndexFile) -> None:
    """Neither as the newest, nor as what joins two codes."""
    without = asked(index, "Observation", "date=lt2013,ge2014").branches[0][1]

    def limits(type: str) -> Criterion | None:
        return AnyOf((without,))

    assert last(index, "patient=p", 1, limits) == ["w2", "p0", "w0", "p1", "t2", "t1"]


def test_too_many_matches_are_refused(index: IndexFile) -> None:
    """Rather than leaving some out."""
    with patch.object(lastn, "MOST", 9), pytest.raises(InvalidResource, match="add criteria"):
        last(index, "", 1)
