"""An absolute URL of this server is a reference to its resource, whoever knows the base: the index, or who asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fhirstore.fhir.definitions.load import definitions
from fhirstore.index.local.catalogue import Catalogue
from fhirstore.index.local.file import IndexFile
from fhirstore.indexing.options import IndexOptions
from fhirstore.search.criteria.query import parse_query
from fhirstore.search.criteria.request import parse_search
from tests.search.local.indexing import fill, found, new_index
from tests.search.matching.asking import HERE, NOW

THERE = "http://localhost:8080/fhir/"
ELSEWHERE = "https://elsewhere.example/fhir/"


@pytest.fixture
def index(tmp_path: Path) -> Iterator[IndexFile]:
    """Observations of one patient, who is named in four ways; the index knows `HERE` alone."""
    index = new_index(tmp_path)
    spelled = {"r": "Patient/p", "h": f"{HERE[0]}Patient/p", "t": f"{THERE}Patient/p", "e": f"{ELSEWHERE}Patient/p"}
    fill(
        index,
        [
            {"resourceType": "Observation", "id": id_, "subject": {"reference": reference}}
            for id_, reference in spelled.items()
        ],
    )
    yield index
    index.close()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("subject=Patient/p", "rht"),
        (f"subject={HERE[0]}Patient/p", "rh"),
        (f"subject={THERE}Patient/p", "rht"),
        (f"subject={ELSEWHERE}Patient/p", "e"),
        ("subject:Patient=p", "rh"),
        (f"subject:Patient={THERE}Patient/p", "rh"),
        (f"subject={THERE}Patient/q", ""),
        (f"subject=Patient/q,{THERE}Patient/p", "rht"),
    ],
)
def test_a_base_of_who_asks_counts_beside_those_of_the_index(index: IndexFile, query: str, expected: str) -> None:
    """References that were written with it are found, and it can be searched with."""
    asked = parse_search(index.catalogue, "Observation", parse_query(query), now=NOW, bases=(THERE,))
    with index.read() as reader:
        assert found(reader, asked) == [f"Observation/{id_}" for id_ in expected]


def test_the_base_of_a_tenant_has_its_name() -> None:
    """Where the URL says which tenant it is."""
    options = IndexOptions(bases=("https://x.example/fhir/{tenant}", "https://y.example/"))
    assert options.bases_of("a") == ("https://x.example/fhir/a/", "https://y.example/")


def test_catalogues_of_other_bases_share_what_they_compile() -> None:
    """A process with many tenants compiles each type once; a file of other bases is another file."""
    catalogue = Catalogue.of(definitions("4.0"))
    other = catalogue.with_bases(HERE)
    assert other.digest not in (catalogue.digest, catalogue.with_bases((THERE,)).digest)
    assert other.digest == Catalogue.of(definitions("4.0"), HERE).digest
    assert other.parameters("Patient") is catalogue.parameters("Patient")
