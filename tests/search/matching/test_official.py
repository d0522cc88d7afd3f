"""Every official search parameter can be asked for, and finds in the official examples what a plain reading finds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable

import pytest

from fhirstore.errors import InvalidResource, Unsupported
from fhirstore.fhir import json
from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.search_parameters.getters import getter
from fhirstore.search.matching import filter_parameters, parse_filter
from tests.fhir.validation.examples import of
from tests.search.matching.asking import NOW
from tests.search.matching.plain_reading import searches

A_VALUE = {
    **{"token": "s|x", "string": "x", "reference": "x", "uri": "urn:x:y", "date": "ge2020"},
    **{"number": "gt1.5", "quantity": "lt5.40|http://unitsofmeasure.org|mg"},
}
BEYOND = ("_content", "_text", "_filter", "_query", "_list", "_has", "_type", "_in", "phonetic")
"""They need more than the resource, or tell how a name sounds."""
MOST_OF_A_TYPE = 12


@pytest.mark.parametrize("release", ["4.0", "4.3", "5.0"])
@pytest.mark.slow
def test_every_official_parameter_is_evaluated_or_refused_by_name(release: str) -> None:
    """Special parameters, those without an expression and a few others are refused; nothing else is."""
    facts = definitions(release)
    evaluated = 0
    for type_ in facts.resources:
        known = {parameter.code for parameter in filter_parameters(facts, type_)}
        for code, parameter in facts.search_parameters[type_].items():
            if parameter.type == "composite":
                continue  # see test_composites
            assert (code in known) is not (parameter.type not in A_VALUE or code in BEYOND or not parameter.expression)
            query = f"{code}={A_VALUE.get(parameter.type, 'x')}"
            if code not in known:
                with pytest.raises(Unsupported, match=f"'{code}'"):
                    parse_filter(facts, type_, query, now=NOW)
                continue
            _parsed(facts, type_, query, f"{code}=true", f"{code}=x")({"resourceType": type_, "id": "x"})
            assert parse_filter(facts, type_, f"{code}:missing=true", now=NOW).used == ((code, "missing"),)
            evaluated += 1
    assert evaluated > 2_000


def _parsed(facts: Definitions, type: str, *queries: str) -> Callable[[JsonObject], bool]:
    """The first of these queries that is well-formed: a boolean is true or false, a contact point has no system."""
    for query in queries[:-1]:
        try:
            return parse_filter(facts, type, query, now=NOW).matches
        except InvalidResource as error:
            assert "cannot be read" in str(error)
    return parse_filter(facts, type, queries[-1], now=NOW).matches


@pytest.mark.parametrize("release", ["4.0", "4.3", "5.0"])
@pytest.mark.slow
def test_the_examples_are_found_as_a_plain_reading_finds_them(release: str) -> None:
    """For each parameter: searches for values of some examples, on twelve examples of the type."""
    facts = definitions(release)
    compared: Counter[str] = Counter()
    found: Counter[str] = Counter()
    for type_, resources in _examples(release).items():
        for parameter in filter_parameters(facts, type_):
            if parameter.type == "composite":
                continue  # see test_composites
            code = parameter.code
            get = getter(facts, type_, code)
            values = [get(resource) for resource in resources]
            missing = parse_filter(facts, type_, f"{code}:missing=true", now=NOW)
            for resource, carried in zip(resources, values, strict=True):
                assert missing.matches(resource) is all(map(_is_bare, carried)), (type_, code, resource["id"])
            for query, naive in searches(parameter.type, values):
                asked = parse_filter(facts, type_, f"{code}{query}", now=NOW)
                negated = (
                    parse_filter(facts, type_, f"{code}:not{query}", now=NOW) if parameter.type == "token" else None
                )
                for resource, carried in zip(resources, values, strict=True):
                    each = [naive(value) for value in carried]
                    if None in each:
                        continue
                    expected = any(each)
                    assert asked.matches(resource) is expected, (type_, code, query, resource["id"])
                    assert negated is None or negated.matches(resource) is not expected
                    compared[parameter.type] += 1
                    found[parameter.type] += expected
    assert compared.keys() == A_VALUE.keys()
    assert min(compared.values()) > 50
    assert min(found.values()) > 10
    assert compared.total() > 50_000
    assert found.total() > 10_000


def _is_bare(value: object) -> bool:
    """One R5 example has an identifier with nothing but an id."""
    return isinstance(value, dict) and set(value) in ({"id"}, {"extension"}, {"id", "extension"})


def _examples(release: str) -> dict[str, list[JsonObject]]:
    """The first examples of each type."""
    found: dict[str, list[JsonObject]] = defaultdict(list)
    for _, body in of(release):
        resource = json.parse(body)
        of_type = found[str(resource["resourceType"])]
        if len(of_type) < MOST_OF_A_TYPE:
            of_type.append(resource)
    return found
