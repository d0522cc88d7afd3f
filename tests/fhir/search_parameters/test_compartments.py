"""A resource is in the compartments its references name."""

from __future__ import annotations

import pytest

from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.search_parameters.compartments import Compartments

R4 = Compartments(definitions("4.0"), bases=("https://here.example/fhir/",))


@pytest.mark.parametrize(
    ("resource", "members"),
    [
        (
            {
                "resourceType": "Observation",
                "subject": {"reference": "Patient/p"},
                "performer": [{"reference": "Practitioner/d"}, {"reference": "Patient/q/_history/3"}],
                "encounter": {"reference": "https://here.example/fhir/Encounter/e"},
            },
            {("Patient", "p"), ("Patient", "q"), ("Practitioner", "d"), ("Encounter", "e")},
        ),
        ({"resourceType": "Observation", "subject": {"reference": "Group/g"}}, set()),
        ({"resourceType": "Observation", "subject": {"reference": "https://elsewhere.example/fhir/Patient/p"}}, set()),
        ({"resourceType": "Observation", "focus": [{"reference": "Patient/p"}]}, set()),
        (
            {
                "resourceType": "Observation",
                "contained": [{"resourceType": "Patient", "id": "c"}],
                "subject": {"reference": "#c"},
            },
            set(),
        ),
        ({"resourceType": "Patient", "id": "p"}, {("Patient", "p")}),
        (
            {"resourceType": "Patient", "id": "p", "link": [{"other": {"reference": "Patient/q"}}]},
            {("Patient", "p"), ("Patient", "q")},
        ),
        ({"resourceType": "Device", "id": "v", "patient": {"reference": "Patient/p"}}, {("Device", "v")}),
        ({"resourceType": "Encounter", "id": "e"}, {("Encounter", "e")}),
        ({"resourceType": "Medication", "id": "m"}, set()),
        ({"resourceType": "Nonsense"}, set()),
    ],
)
def test_members(resource: JsonObject, members: set[tuple[str, str]]) -> None:
    """By the parameters of the compartment's definition; its own instance belongs to a compartment too."""
    assert R4.members(resource) == members


@pytest.mark.parametrize("release", ["4.0", "4.3", "5.0"])
def test_every_parameter_of_a_compartment_exists(release: str) -> None:
    """No code in a CompartmentDefinition is passed over."""
    facts = definitions(release)
    for types in facts.compartments.values():
        for type_, codes in types.items():
            assert set(codes) - {"{def}"} <= set(facts.search_parameters[type_])
            Compartments(facts).members({"resourceType": type_})


def test_the_patients_of_a_resource() -> None:
    """What an export of patients asks: of whom is this?"""
    observation: JsonObject = {
        "resourceType": "Observation",
        "subject": {"reference": "Patient/p"},
        "performer": [{"reference": "Practitioner/d"}, {"reference": "Patient/q"}],
    }
    assert R4.patients(observation) == {"p", "q"}
    assert R4.patients({"resourceType": "Patient", "id": "p"}) == {"p"}
    assert R4.patients({"resourceType": "Organization", "id": "o"}) == set()
    assert R4.ids("Practitioner", observation) == {"d"}


def test_the_types_in_the_compartment_of_patients() -> None:
    """Those with a parameter that leads to it, and Patient."""
    types = R4.types("Patient")
    assert {"Patient", "Observation", "Group", "Provenance", "AuditEvent"} <= types
    assert not {"Organization", "Practitioner", "Medication", "Location", "Device"} & types
    assert R4.types("Device") >= {"Device", "Observation"}
    everything = {code for code in R4.definitions.resources if R4.patients(_resource_of_everyone(code))}
    assert everything <= types


def _resource_of_everyone(type: str) -> JsonObject:
    """A resource that refers to a patient in every element that may."""
    facts = R4.definitions.types[type]
    reference: JsonObject = {"reference": "Patient/p"}
    resource: JsonObject = {"resourceType": type, "id": "x"}
    for element in facts.elements.values():
        if element.type == "Reference":
            resource[element.name] = [reference] if element.repeats else reference
    return resource
