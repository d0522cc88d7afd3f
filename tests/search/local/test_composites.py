"""The index finds by composites what is in one element, also after updates and as of before them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fhirstore.errors import InvalidResource
from fhirstore.fhir import json
from fhirstore.index.local.apply import Batch, Change
from fhirstore.index.local.file import IndexFile
from fhirstore.search.pages.finding import find
from tests.search.local.indexing import asked, fill, found, new_index, search
from tests.search.matching.asking import NOW
from tests.search.matching.test_composites import LOINC, blood_pressure

HIGH = {"reference": "Observation/high"}


def named(id: str, resource: dict[str, object]) -> dict[str, object]:
    """The resource with this id."""
    return {**resource, "id": id}


def glucose(id: str, value: float, unit: str) -> dict[str, object]:
    """An Observation with a quantity in a unit of UCUM."""
    quantity = {"value": value, "system": "http://unitsofmeasure.org", "code": unit}
    code = {"coding": [{"system": LOINC, "code": "2339-0"}, {"system": "urn:local", "code": "glu"}]}
    return {"resourceType": "Observation", "id": id, "status": "final", "code": code, "valueQuantity": quantity}


@pytest.fixture
def index(tmp_path: Path) -> Iterator[IndexFile]:
    """Two blood pressures, two values of glucose, a sequence with two variants."""
    index = new_index(tmp_path)
    variants = [{"start": 5, "end": 9}, {"start": 50, "end": 90}]
    sequence = {
        "resourceType": "MolecularSequence",
        "id": "s",
        "coordinateSystem": 0,
        "referenceSeq": {"chromosome": {"coding": [{"code": "1"}]}},
        "variant": variants,
    }
    resources = [
        named("high", blood_pressure(150, 90)),
        named("low", blood_pressure(110, 70)),
        glucose("g", 1, "g/L"),
        glucose("mg", 900, "mg/L"),
        sequence,
    ]
    fill(index, resources)
    yield index
    index.close()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("component-code-value-quantity=8480-6$gt140", ["high"]),
        ("component-code-value-quantity=http://loinc.org|8462-4$gt80", ["high"]),
        ("component-code-value-quantity=8462-4$gt100", []),
        ("component-code-value-quantity=http://loinc.org|$lt80", ["low"]),
        ("component-code-value-quantity=urn:other|8480-6$gt0", []),
        ("component-code-value-quantity=|8480-6$gt0", []),
        ("component-code-value-quantity=unknown$gt0,8462-4$70", ["low"]),
        ("combo-code-value-quantity=8480-6$gt140,glu$lt950|http://unitsofmeasure.org|mg/L", ["high", "mg"]),
        ("code-value-quantity=glu$ge950|http://unitsofmeasure.org|mg/L", ["g"]),
        ("code-value-quantity=http://loinc.org|2339-0$1||g/L", ["g"]),
        ("code-value-quantity=8480-6$gt0", []),
        ("combo-code-value-quantity=8480-6$gt140&_sort=-_id", ["high"]),
        ("combo-code-value-quantity=8480-6$gt0&component-code-value-quantity=8462-4$lt80", ["low"]),
    ],
)
def test_one_element_has_it_all(index: IndexFile, query: str, expected: list[str]) -> None:
    """With all ways of writing a token, in any unit, beside other criteria."""
    assert search(index, "Observation", query) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [("1$lt10$gt8", ["s"]), ("1$gt10$lt100", ["s"]), ("1$lt10$gt80", []), ("2$lt10$gt8", []), ("|1$5$9", ["s"])],
)
def test_two_numbers_are_of_one_element(index: IndexFile, query: str, expected: list[str]) -> None:
    """A variant starts and ends; the start of one and the end of another are no variant."""
    assert search(index, "MolecularSequence", f"chromosome-variant-coordinate={query}") == expected


def test_what_follows_an_update_is_found_and_what_was_before_as_of_then(index: IndexFile) -> None:
    """A component's value changes: the rows of the old one end, those of the new begin."""
    with index.read() as reader:
        before = reader.seq
    after = named("high", blood_pressure(120, 90))
    index.apply(Batch([Change("Observation", "high", 2, NOW + 9, NOW, after)], at=NOW + 9))
    query = asked(index, "Observation", "component-code-value-quantity=8480-6$gt140")
    with index.read() as reader:
        assert found(reader, query) == []
        assert found(reader, query, seq=before) == ["Observation/high"]
    index.apply(Batch([Change("Observation", "high", 3, NOW + 10, NOW, None)], at=NOW + 10))
    assert search(index, "Observation", "component-code-value-quantity=8480-6$gt100") == ["low"]


@pytest.mark.parametrize("value", ["a", "a$b$c", "$5", "8480-6$", "8480-6$x", "a|b|c$5"])
def test_a_malformed_value_is_refused(index: IndexFile, value: str) -> None:
    """Whether or not a resource has the code."""
    for code in ("component-code-value-quantity", "code-value-quantity"):
        with index.read() as reader, pytest.raises(InvalidResource) as refused:
            find(reader, asked(index, "Observation", f"{code}={value}"), now=NOW)
        assert "cannot be read" in refused.value.issues[0].diagnostics


def test_a_composite_is_chained_like_others(index: IndexFile) -> None:
    """A report of a high pressure."""
    report: dict[str, object] = {"resourceType": "DiagnosticReport", "id": "r", "result": [HIGH]}
    index.apply(Batch([Change("DiagnosticReport", "r", 1, NOW + 20, NOW + 20, report)], at=NOW + 20))
    assert search(index, "DiagnosticReport", "result.component-code-value-quantity=8480-6$gt140") == ["r"]
    assert search(index, "DiagnosticReport", "result.component-code-value-quantity=8480-6$lt140") == []
    assert search(index, "Observation", "_has:DiagnosticReport:result:_id=r") == ["high"]


def test_what_a_resource_has_too_much_of_is_cut(index: IndexFile) -> None:
    """As of any parameter: the resource is known to be incomplete in the index."""
    coded = {"coding": [{"code": str(number)} for number in range(400)]}
    component = {"code": coded, "valueQuantity": {"value": 1}}
    many: dict[str, object] = {"resourceType": "Observation", "id": "m", "component": [component]}
    index.apply(Batch([Change("Observation", "m", 1, NOW + 30, NOW + 30, json.encode(many))], at=NOW + 30))
    with index.read() as reader:
        assert reader.cut() == {"Observation"}
    each = ",".join(f"{number}$1" for number in range(40))  # most of all are indexed
    assert search(index, "Observation", f"component-code-value-quantity={each}") == ["m"]
    each = ",".join(f"{number}$1" for number in range(60))
    with index.read() as reader, pytest.raises(InvalidResource, match="name codes"):
        find(reader, asked(index, "Observation", f"component-code-value-quantity={each}"), now=NOW)
