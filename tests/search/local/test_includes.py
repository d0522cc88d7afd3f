"""What is asked for comes along: once, from the right resources, as of the moment of the matches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fhirstore.errors import InvalidResource
from fhirstore.index.local.apply import Batch, Change
from fhirstore.index.local.file import IndexFile
from fhirstore.search.pages.finding import find
from fhirstore.search.pages.includes import included
from tests.search.local.indexing import asked, fill, new_index
from tests.search.matching.asking import NOW


def reference(name: str) -> dict[str, object]:
    """A Reference."""
    return {"reference": name}


RESOURCES: list[dict[str, object]] = [
    {"resourceType": "Organization", "id": "top"},
    {"resourceType": "Organization", "id": "ward", "partOf": reference("Organization/top")},
    {"resourceType": "Patient", "id": "p", "managingOrganization": reference("Organization/ward")},
    {"resourceType": "Patient", "id": "q"},
    {"resourceType": "Encounter", "id": "e", "subject": reference("Patient/p")},
    {
        "resourceType": "Observation",
        "id": "o",
        "subject": reference("Patient/p"),
        "encounter": reference("Encounter/e"),
        "performer": [reference("Organization/ward"), reference("Practitioner/none")],
    },
    {"resourceType": "Observation", "id": "r", "subject": reference("Patient/q")},
]


@pytest.fixture
def index(tmp_path: Path) -> Iterator[IndexFile]:
    """An index of these."""
    index = new_index(tmp_path)
    fill(index, RESOURCES)
    yield index
    index.close()


def along(index: IndexFile, type: str, query: str, *, seq: int | None = None) -> list[str]:
    """The names of what comes along."""
    search = asked(index, type, query)
    with index.read() as reader:
        matches = find(reader, search, now=NOW, seq=seq).names
        return sorted(f"{one.type}/{one.id}" for one in included(reader, search, matches, now=NOW, seq=seq).names)


@pytest.mark.parametrize(
    ("type", "query", "expected"),
    [
        ("Observation", "_id=o&_include=Observation:subject", {"Patient/p"}),
        ("Observation", "_include=Observation:subject", {"Patient/p", "Patient/q"}),
        ("Observation", "_id=o&_include=Observation:performer:Practitioner", set()),
        ("Observation", "_id=o&_include=Observation:performer:Organization", {"Organization/ward"}),
        ("Observation", "_id=o&_include=Observation:*", {"Patient/p", "Encounter/e", "Organization/ward"}),
        ("Observation", "_id=o&_include=*", {"Patient/p", "Encounter/e", "Organization/ward"}),
        ("Observation", "_id=o&_include=Observation:subject&_include=Patient:organization", {"Patient/p"}),
        (
            "Observation",
            "_id=o&_include=Observation:subject&_include:iterate=Patient:organization",
            {"Patient/p", "Organization/ward"},
        ),
        (
            "Observation",
            "_id=o&_include=Observation:subject&_include:iterate=Patient:organization"
            "&_include:iterate=Organization:partof",
            {"Patient/p", "Organization/ward", "Organization/top"},
        ),
        ("Patient", "_id=p&_revinclude=Observation:subject", {"Observation/o"}),
        (
            "Patient",
            "_revinclude=Observation:subject&_revinclude=Encounter:subject",
            {"Observation/o", "Observation/r", "Encounter/e"},
        ),
        ("Patient", "_id=p&_revinclude=*", {"Observation/o", "Encounter/e"}),
        (
            "Organization",
            "_id=ward&_revinclude=Patient:organization&_revinclude:iterate=Observation:subject",
            {"Patient/p", "Observation/o"},
        ),
        ("Organization", "_include=Organization:partof", set()),
        ("Patient", "_id=none&_include=Patient:organization", set()),
    ],
)
def test_what_is_asked_for_comes_along(index: IndexFile, type: str, query: str, expected: set[str]) -> None:
    """Forwards, backwards, of a type only, with all references, and further on with :iterate."""
    assert along(index, type, query) == sorted(expected)


def test_it_is_as_of_the_moment_of_the_matches(index: IndexFile) -> None:
    """A reference that was changed since, and a target that was deleted since, are as they were."""
    with index.read() as reader:
        before = reader.seq
    moved: dict[str, object] = {"resourceType": "Observation", "id": "o", "subject": reference("Patient/q")}
    index.apply(
        Batch([Change("Observation", "o", 2, NOW, NOW, moved), Change("Encounter", "e", 2, NOW, NOW, None)], at=NOW)
    )
    assert along(index, "Observation", "_id=o&_include=*") == ["Patient/q"]
    assert along(index, "Observation", "_id=o&_include=*", seq=before) == [
        "Encounter/e",
        "Organization/ward",
        "Patient/p",
    ]
    assert along(index, "Patient", "_id=p&_revinclude=*") == []
    assert along(index, "Patient", "_id=p&_revinclude=*", seq=before) == ["Encounter/e", "Observation/o"]


@pytest.mark.parametrize("value", ["Observation:code", "Nothing:subject", "Observation", "Observation:subject:Nothing"])
def test_malformed_includes_are_refused(index: IndexFile, value: str) -> None:
    """A parameter that is no reference, an unknown type, too little."""
    with pytest.raises(InvalidResource, match="_include"):
        asked(index, "Observation", f"_include={value}")
