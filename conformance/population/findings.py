"""What is measured at a visit: Observations, and DiagnosticReports of panels.

https://hl7.org/fhir/R4/observation.html · https://hl7.org/fhir/R4/diagnosticreport.html
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from conformance.population.draws import Draws, when
from conformance.population.elements import Resource, concept, loinc, profiles, quantity, resource, to
from conformance.population.patients import Person
from conformance.population.places import Doctor, Place
from conformance.population.vocabulary import (
    CORE,
    LOINC,
    PANELS,
    SINGLE_LABS,
    SMOKING,
    SNOMED,
    TERMINOLOGY,
    VITAL_SIGNS,
    Measured,
)

_VITAL = "http://hl7.org/fhir/StructureDefinition/vitalsigns"
_PRESSURES = (
    Measured("8462-4", "Diastolic Blood Pressure", "mm[Hg]", 60, 100),
    Measured("8480-6", "Systolic Blood Pressure", "mm[Hg]", 95, 180),
)


class Visit(NamedTuple):
    """An encounter: whose, where, with whom and when. `id`: of the Encounter."""

    id: str
    person: Person
    place: Place
    doctor: Doctor
    at: datetime


def vital_signs(visit: Visit, draws: Draws) -> Iterator[Resource]:
    """Blood pressure as one Observation with two components, and some of the others."""
    pressure = _observation(visit, draws, "vital-signs", ("85354-9", "Blood Pressure"), _VITAL)
    pressure["component"] = [
        {"code": loinc(measured), "valueQuantity": quantity(measured, draws.between(measured.low, measured.high))}
        for measured in _PRESSURES
    ]
    yield pressure
    for measured in VITAL_SIGNS:
        if draws.chance(0.8):
            yield _measurement(visit, draws, "vital-signs", measured, _VITAL)


def smoking(visit: Visit, draws: Draws) -> Resource:
    """An Observation whose value is a concept."""
    status = _observation(
        visit, draws, "survey", ("72166-2", "Tobacco smoking status NHIS"), f"{CORE}/us-core-smokingstatus"
    )
    return status | {"valueCodeableConcept": concept(SNOMED, draws.common(SMOKING))}


def single_lab(visit: Visit, draws: Draws) -> Resource:
    """A measurement of the laboratory that belongs to no panel."""
    return _measurement(visit, draws, "laboratory", draws.one(SINGLE_LABS), f"{CORE}/us-core-observation-lab")


def panel(visit: Visit, draws: Draws) -> Iterator[Resource]:
    """The Observations of a panel, and the DiagnosticReport that refers to them."""
    term, measured = draws.common(PANELS)
    results = [_measurement(visit, draws, "laboratory", each, f"{CORE}/us-core-observation-lab") for each in measured]
    yield from results
    yield resource("DiagnosticReport", draws.uuid()) | {
        "meta": profiles(f"{CORE}/us-core-diagnosticreport-lab"),
        "status": "final",
        "category": [concept(f"{TERMINOLOGY}/v2-0074", ("LAB", "Laboratory"))],
        "code": concept(LOINC, term),
        "subject": visit.person.reference,
        "encounter": to("Encounter", visit.id),
        "effectiveDateTime": when(visit.at),
        "issued": _issued(visit, draws),
        "performer": [visit.place.organization_reference],
        "result": [
            {"reference": f"Observation/{result['id']}", "display": each.display}
            for result, each in zip(results, measured, strict=True)
        ],
    }


def _measurement(visit: Visit, draws: Draws, category: str, measured: Measured, profile: str) -> Resource:
    found = _observation(visit, draws, category, (measured.code, measured.display), profile)
    found["valueQuantity"] = quantity(measured, draws.between(measured.low, measured.high))
    return found


def _observation(visit: Visit, draws: Draws, category: str, code: tuple[str, str], profile: str) -> Resource:
    return resource("Observation", draws.uuid()) | {
        "meta": profiles(profile),
        "status": "final",
        "category": [
            {"coding": [{"system": f"{TERMINOLOGY}/observation-category", "code": category, "display": category}]}
        ],
        "code": concept(LOINC, code),
        "subject": visit.person.reference,
        "encounter": to("Encounter", visit.id),
        "effectiveDateTime": when(visit.at),
        "issued": _issued(visit, draws),
    }


def _issued(visit: Visit, draws: Draws) -> str:
    text = when(visit.at)
    return f"{text[:19]}.{draws.below(1000):03}{text[19:]}"
