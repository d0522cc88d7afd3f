"""Searches that ask for much are answered, or refused as too costly; none fails, and none works for long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest.mock import patch
from urllib.parse import urlencode

import pytest

from fhirstore.errors import InvalidResource
from fhirstore.fhir.json import JsonObject
from fhirstore.index.local.file import IndexFile
from fhirstore.search.criteria import reading
from fhirstore.search.criteria.criterion import Include
from fhirstore.search.pages import finding, includes
from fhirstore.search.pages.finding import Name, find
from fhirstore.search.pages.includes import included
from tests.search.local.indexing import asked, fill, new_index
from tests.search.matching.asking import NOW

MANY = 990


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IndexFile]:
    """Some patients with observations, and a value set."""
    index = new_index(tmp_path_factory.mktemp("costly"))
    patients: list[JsonObject] = [
        {"resourceType": "Patient", "id": f"p{n}", "name": [{"family": f"Name{n}"}], "gender": "female"}
        for n in range(30)
    ]
    observations: list[JsonObject] = [
        {
            "resourceType": "Observation",
            "id": f"o{n}",
            "status": "final",
            "code": {"coding": [{"system": "urn:c", "code": f"c{n % 3}"}]},
            "subject": {"reference": f"Patient/p{n}"},
            "effectiveDateTime": f"{1990 + n}-01-01",
            "valueQuantity": {"value": n, "system": "http://unitsofmeasure.org", "code": "mg"},
        }
        for n in range(30)
    ]
    urls: list[JsonObject] = [
        {"resourceType": "ValueSet", "id": "v", "status": "active", "url": "http://x.example/a/b"}
    ]
    fill(index, [*patients, *observations, *urls])
    yield index
    index.close()


def found(index: IndexFile, type: str, pairs: list[tuple[str, str]]) -> list[str]:
    """The ids that a search finds."""
    query = asked(index, type, urlencode([*pairs, ("_count", "1000")]))
    with index.read() as reader:
        return [one.id for one in find(reader, query, now=NOW).names]


@pytest.mark.parametrize(
    ("type", "name", "value", "matches"),
    [
        ("Patient", "family", "name{n}x,name7", 1),
        ("Patient", "family:contains", "x{n}x,name7", 1),
        ("Observation", "code", "x{n},c1", 10),
        ("Observation", "code:not", "x{n},c1", 20),
        ("Observation", "date", "1{n:03}-01-01,2000", 1),
        ("Observation", "value-quantity", "gt1000{n}|http://unitsofmeasure.org|mg,7", 1),
        ("Observation", "subject", "x{n},Patient/p7", 1),
        ("ValueSet", "url:below", "http://y.example/{n},http://x.example/a", 1),
        ("ValueSet", "url:above", "http://y.example/{n},http://x.example/a/b/c", 1),
        ("Observation", "_lastUpdated", "lt1{n:03},ge1900", 30),
    ],
)
def test_many_values_are_as_one(index: IndexFile, type: str, name: str, value: str, matches: int) -> None:
    """A thousand values of an OR list, of which few occur."""
    each, last = value.split(",")
    values = ",".join([*(each.replace("{n:03}", f"{n:03}").replace("{n}", str(n)) for n in range(MANY)), last])
    assert len(found(index, type, [(name, values)])) == matches


@pytest.mark.parametrize(
    ("type", "name", "value", "matches"),
    [
        ("Patient", "family", "name", 30),
        ("Observation", "code:not", "x{n}", 30),
        ("Observation", "date", "ne1{n:03}", 30),
        ("Observation", "value-quantity", "ne1000{n}", 30),
        ("Observation", "subject:missing", "false", 30),
        ("Observation", "_lastUpdated", "ge1{n:03}", 30),
        ("Patient", "_has:Observation:patient:code", "c1", 10),
        ("Observation", "subject:Patient.gender", "female", 30),
    ],
)
def test_a_parameter_may_be_repeated_a_thousand_times(
    index: IndexFile, type: str, name: str, value: str, matches: int
) -> None:
    """All of them are demanded."""
    pairs = [(name, value.replace("{n:03}", f"{n:03}").replace("{n}", str(n))) for n in range(MANY)]
    assert len(found(index, type, pairs)) == matches


@pytest.mark.parametrize(
    "query",
    [
        "Basic?subject.subject.subject.subject.subject.subject:missing=true",
        "List?item.subject.subject.subject.subject._tag=x",
        "Observation?focus.focus.focus.focus.focus._id=x",
    ],
)
def test_a_chain_through_too_many_types_is_refused_before_it_is_read_whole(index: IndexFile, query: str) -> None:
    """The number of criteria that it stands for is bounded, however many types each of its links leads to."""
    type_, _, text = query.partition("?")
    read = reading.Reading.criterion
    calls = 0

    def counted(*given: object) -> object:
        nonlocal calls
        calls += 1
        return read(*given)  # type: ignore[arg-type]

    with patch.object(reading.Reading, "criterion", counted), pytest.raises(InvalidResource) as refused:
        asked(index, type_, text)
    assert refused.value.issues[0].code == "too-costly"
    assert calls <= reading.MOST_CRITERIA + 1


def test_a_chain_passes_by_types_where_its_next_link_is_no_reference(index: IndexFile) -> None:
    """`focus` of Observation leads to any type; that of MessageDefinition is a code."""
    assert found(index, "Observation", [("focus.focus._id", "x")]) == []


def test_the_time_of_a_search_is_bounded(index: IndexFile) -> None:
    """Whatever its statements are."""
    with (
        patch.object(finding, "_MOST_SECONDS", -1.0),
        patch.object(finding, "_STEP", 10),
        pytest.raises(InvalidResource) as refused,
    ):
        found(index, "Patient", [("family:contains", "name")])
    assert refused.value.issues[0].code == "too-costly"


def test_a_url_of_too_many_segments_is_refused(index: IndexFile) -> None:
    """Each of them would be looked for."""
    with pytest.raises(InvalidResource, match="100 segments"):
        found(index, "ValueSet", [("url:above", "http://x.example/" + "a/" * 200)])


def test_following_what_was_included_is_bounded(tmp_path: Path) -> None:
    """A chain of a thousand resources, and many includes that each lead to the next one; what is left out is told."""
    index = new_index(tmp_path)
    members: list[JsonObject] = [
        {
            "resourceType": "Observation",
            "id": f"o{n}",
            "status": "final",
            "code": {"text": "x"},
            "hasMember": [{"reference": f"Observation/o{n + 1}"}],
        }
        for n in range(300)
    ]
    fill(index, members)
    ways = ("Observation:has-member", "Observation:has-member:Observation", "Observation:*", "*")
    many = "&".join(f"_include:iterate={one}" for one in (*ways, *ways) * 10)
    followed = 0
    forwards = includes._Along.forwards

    def counted(along: includes._Along, one: Include, names: Sequence[Name]) -> Iterator[tuple[Name, int]]:
        nonlocal followed
        followed += 1
        return forwards(along, one, names)

    try:
        with index.read() as reader, patch.object(includes._Along, "forwards", counted):
            query = asked(index, "Observation", f"_id=o0&{many}")
            matches = find(reader, query, now=NOW).names
            whole = included(reader, query, matches, now=NOW)
            assert (len(whole.names), whole.cut, followed) == (299, False, 1_200)
            with patch.object(includes, "_MOST_FOLLOWED", 400):
                part = included(reader, query, matches, now=NOW)
        assert (part.names, part.cut, followed) == (whole.names[:100], True, 1_600)
    finally:
        index.close()
