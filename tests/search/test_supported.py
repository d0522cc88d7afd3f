"""What is claimed of searches is what the reader of searches takes: no more, and no less."""

from __future__ import annotations

import pytest

from fhirstore.errors import FhirError
from fhirstore.fhir.definitions.load import definitions
from fhirstore.search.criteria.request import parse_search
from fhirstore.search.criteria.supported import SupportedSearch

RELEASES = ("4.0", "4.3", "5.0")


@pytest.fixture(scope="module", params=RELEASES)
def supported(request: pytest.FixtureRequest) -> SupportedSearch:
    """Of each release."""
    return SupportedSearch.of(definitions(request.param))


def _is_read(supported: SupportedSearch, type: str, name: str, value: str) -> bool:
    try:
        parse_search(supported.catalogue, type, [(name, value)], now=0)
    except FhirError:
        return False
    return True


def test_every_type_has_its_parameters(supported: SupportedSearch) -> None:
    """All that a filter of exports evaluates, and those of every type; the definition is the official one."""
    for type_ in supported.definitions.resources:
        found = {one.name: one for one in supported.parameters(type_)}
        assert {"_id", "_lastUpdated", "_tag"} <= set(found)
        defined = supported.definitions.search_parameters[type_]
        assert {one.name: one.url for one in found.values()} == {name: defined[name].url for name in found}
        assert {name for name, one in defined.items() if one.type == "token" and one.expression} <= set(found)


def test_patients_and_observations_have_what_the_specification_gives_them(supported: SupportedSearch) -> None:
    """https://hl7.org/fhir/R4/patient.html#search · https://hl7.org/fhir/R4/search.html#modifiers"""
    patient = {one.name: one for one in supported.parameters("Patient")}
    assert {"missing", "exact", "contains"} <= set(patient["name"].modifiers)
    assert {"missing", "not", "text"} <= set(patient["gender"].modifiers)
    assert "of-type" in patient["identifier"].modifiers and "of-type" not in patient["gender"].modifiers
    assert patient["birthdate"].prefixes == ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")
    assert patient["organization"].chains == ("Organization",)
    assert "Refers to Organization" in patient["organization"].documentation
    assert not patient["name"].chains and not patient["name"].prefixes


def test_includes_are_references_in_both_directions(supported: SupportedSearch) -> None:
    """And each is one that a search takes."""
    assert {"*", "Observation:subject", "Observation:encounter"} <= set(supported.includes("Observation"))
    assert "Observation:code" not in supported.includes("Observation")
    assert {"*", "Observation:subject", "Provenance:target"} <= set(supported.reverse_includes("Patient"))
    assert "Observation:encounter" not in supported.reverse_includes("Patient")
    for value in supported.includes("Observation"):
        assert _is_read(supported, "Observation", "_include", value)
    for value in supported.reverse_includes("Patient"):
        assert _is_read(supported, "Patient", "_revinclude", value)


def test_a_chain_may_lead_where_it_is_said(supported: SupportedSearch) -> None:
    """By each type as a modifier, and to no other type."""
    (subject,) = (one for one in supported.parameters("Observation") if one.name == "subject")
    for type_ in supported.definitions.resources:
        assert _is_read(supported, "Observation", f"subject:{type_}._id", "x") is (type_ in subject.chains)
