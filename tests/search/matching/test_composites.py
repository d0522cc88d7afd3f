"""A composite is met where one element has all that is searched for; elements are those of the definition."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fhirstore.errors import InvalidExpression
from fhirstore.fhir import json
from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.search_parameters.composites import Branch, branches_of
from fhirstore.search.matching import parse_filter
from tests.fhir.validation.examples import of
from tests.search.matching.asking import NOW, matches
from tests.search.matching.plain_reading import Naive, searches

UNREADABLE = {("5.0", "Device", "code-value-concept"), ("5.0", "Composition", "section-code-text")}
"""A Device has no such element; a section's text is a narrative, which is no value."""
LOINC = "http://loinc.org"


def blood_pressure(systolic: float, diastolic: float) -> dict[str, object]:
    """An Observation with two components."""
    components = [
        {
            "code": {"coding": [{"system": LOINC, "code": code}]},
            "valueQuantity": {"value": value, "system": "http://unitsofmeasure.org", "code": "mm[Hg]"},
        }
        for code, value in (("8480-6", systolic), ("8462-4", diastolic))
    ]
    code = {"coding": [{"system": LOINC, "code": "85354-9"}]}
    return {"resourceType": "Observation", "status": "final", "code": code, "component": components}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("component-code-value-quantity=http://loinc.org|8480-6$gt130", True),
        ("component-code-value-quantity=8462-4$gt130", False),
        ("component-code-value-quantity=8462-4$gt130,8462-4$lt100", True),
        ("component-code-value-quantity=8480-6$140|http://unitsofmeasure.org|mm[Hg]", True),
        ("combo-code-value-quantity=8462-4$90", True),
        ("combo-code-value-quantity=85354-9$90", False),
        ("code-value-quantity=8480-6$140", False),
    ],
)
def test_one_element_has_it_all(query: str, found: bool) -> None:
    """The systolic pressure is high, not the diastolic one; a component's value is none of the whole."""
    assert matches(query, blood_pressure(140, 90)) is found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("relationship=replaces$DocumentReference/d", True),
        ("relationship=appends$DocumentReference/d", False),
        ("relationship=appends$DocumentReference/e", True),
    ],
)
def test_a_relationship_is_a_code_and_a_reference(query: str, found: bool) -> None:
    """Though the definition of R4 names the components the other way round."""
    related = [
        {"code": code, "target": {"reference": f"DocumentReference/{id_}"}}
        for code, id_ in (("replaces", "d"), ("appends", "e"))
    ]
    document = {"resourceType": "DocumentReference", "status": "current", "content": [], "relatesTo": related}
    assert matches(query, document) is found


def test_a_value_of_the_whole_resource_counts_for_each_element() -> None:
    """The chromosome of a sequence, with the place of one of its variants."""
    sequence = {
        "resourceType": "MolecularSequence",
        "coordinateSystem": 0,
        "referenceSeq": {"chromosome": {"coding": [{"code": "1"}]}},
        "variant": [{"start": 5, "end": 9}, {"start": 50, "end": 90}],
    }
    assert matches("chromosome-variant-coordinate=1$lt10$gt8", sequence)
    assert not matches("chromosome-variant-coordinate=1$lt10$gt80", sequence)
    assert not matches("chromosome-variant-coordinate=2$lt10$gt8", sequence)


def test_an_escaped_separator_is_text() -> None:
    """`\\$` is part of the value."""
    priced = {"resourceType": "Observation", "code": {"coding": [{"code": "a$b"}]}, "valueString": "x"}
    assert matches("code-value-string=a\\$b$x", priced)


@pytest.mark.parametrize("release", ["4.0", "4.3", "5.0"])
@pytest.mark.slow
def test_the_examples_are_found_as_a_plain_reading_finds_them(release: str) -> None:
    """For each composite: searches for what elements of examples have, and for what two of them have together."""
    facts = definitions(release)
    examples: dict[str, list[JsonObject]] = {}
    for _, body in of(release):
        resource = json.parse(body)
        examples.setdefault(str(resource["resourceType"]), []).append(resource)
    compared = found = 0
    for type_, resources in examples.items():
        for code, parameter in facts.search_parameters[type_].items():
            if parameter.type != "composite":
                continue
            try:
                branches = branches_of(facts, type_, parameter)
            except InvalidExpression:
                assert (release, type_, code) in UNREADABLE
                continue
            for query, demands in queries(branches[0], resources):
                asked = parse_filter(facts, type_, f"{code}={query}", now=NOW)
                for resource in resources:
                    expected = [met for branch in branches for met in plainly(branch, demands, resource)]
                    if None not in expected:
                        assert asked.matches(resource) is any(expected), (type_, code, query, resource["id"])
                        compared += 1
                        found += any(expected)
    assert compared > 300
    assert found > 10


def queries(branch: Branch, resources: list[JsonObject]) -> Iterator[tuple[str, list[Naive]]]:
    """Yields values of a composite, with what each component's value finds."""
    elements = [(one, root) for root in resources for one in branch.elements([root], root)][:12]
    carried = [[part.path.run([one], root) for one, root in elements] for part in branch.parts]
    wanted = [
        [(query[1:], naive) for query, naive in searches(part.parameter.type, values) if query[0] == "="]
        for part, values in zip(branch.parts, carried, strict=True)
    ]
    for number in range(min(8, *map(len, wanted))):
        for step in (0, 1):  # of one element, mostly; of two
            some = [of[(number + step * place) % len(of)] for place, of in enumerate(wanted)]
            yield "$".join(query for query, _ in some), [naive for _, naive in some]


def plainly(branch: Branch, demands: list[Naive], root: JsonObject) -> Iterator[bool | None]:
    """Whether each element has it all; None where the plain reading does not know."""
    for one in branch.elements([root], root):
        each = [
            [demand(value) for value in part.path.run([one], root)]
            for demand, part in zip(demands, branch.parts, strict=True)
        ]
        yield None if any(None in some for some in each) else all(True in some for some in each)
