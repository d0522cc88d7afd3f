"""What happens at an encounter, and the care that outlasts it.

https://hl7.org/fhir/R4/encounter.html · https://hl7.org/fhir/R4/condition.html
"""

from __future__ import annotations

from collections.abc import Iterator

from conformance.population.draws import Draws, when
from conformance.population.elements import Resource, code_of, coding, concept, profiles, resource, to
from conformance.population.findings import Visit, panel, single_lab, smoking, vital_signs
from conformance.population.papers import bills, claim, notes
from conformance.population.vocabulary import (
    CONDITIONS,
    CORE,
    CVX,
    ENCOUNTERS,
    INSURERS,
    MEDICATIONS,
    PROCEDURES,
    RXNORM,
    SNOMED,
    SYNTHEA,
    TERMINOLOGY,
    VACCINES,
    Term,
)


def visit(seen: Visit, draws: Draws) -> Iterator[Resource]:
    """The Encounter and all that came of it; the Encounter comes first."""
    class_, reason = draws.common(ENCOUNTERS)
    yield _encounter(seen, class_, reason)
    lines: list[tuple[str, Term]] = []
    if draws.chance(0.55):
        yield from _condition(seen, draws)
    if draws.chance(0.65):
        yield from vital_signs(seen, draws)
    if draws.chance(0.5):
        yield smoking(seen, draws)
    if draws.chance(0.36):
        yield from panel(seen, draws)
    if draws.chance(0.5):
        yield single_lab(seen, draws)
    if draws.chance(0.5):
        lines.append((SNOMED, draws.common(PROCEDURES)))
        yield _procedure(seen, draws, lines[-1][1])
    for _ in range(draws.below(3)):
        lines.append((CVX, draws.common(VACCINES)))
        yield _immunization(seen, draws, lines[-1][1])
    if draws.chance(0.27):
        yield from _medication(seen, draws)
    yield from notes(seen, draws)
    yield from bills(seen, draws, reason, lines)
    if draws.chance(0.03):
        yield _imaging(seen, draws)


def care(seen: Visit, draws: Draws) -> Iterator[Resource]:
    """A CarePlan and its CareTeam, begun at a visit."""
    team, activity = draws.uuid(), draws.common(PROCEDURES)
    status = draws.one(("active", "completed"))
    period = {"start": when(seen.at)} | ({} if status == "active" else {"end": when(seen.at, minutes=40_000)})
    yield resource("CareTeam", team) | {
        "meta": profiles(f"{CORE}/us-core-careteam"),
        "status": "active" if status == "active" else "inactive",
        "subject": seen.person.reference,
        "encounter": to("Encounter", seen.id),
        "period": period,
        "participant": [
            {"role": [concept(SNOMED, ("116154003", "Patient"))], "member": seen.person.reference},
            {
                "role": [concept(SNOMED, ("223366009", "Healthcare professional (occupation)"))],
                "member": seen.doctor.reference,
            },
            {
                "role": [concept(SNOMED, ("224891009", "Healthcare services (qualifier value)"))],
                "member": seen.place.organization_reference,
            },
        ],
        "reasonCode": [concept(SNOMED, draws.common(CONDITIONS))],
        "managingOrganization": [seen.place.organization_reference],
    }
    yield resource("CarePlan", draws.uuid()) | {
        "meta": profiles(f"{CORE}/us-core-careplan"),
        "text": {
            "status": "generated",
            "div": f'<div xmlns="http://www.w3.org/1999/xhtml">Care plan with {activity[1]}.</div>',
        },
        "status": status,
        "intent": "order",
        "category": [
            {"coding": [{"system": "http://hl7.org/fhir/us/core/CodeSystem/careplan-category", "code": "assess-plan"}]},
            concept(SNOMED, ("53950000", "Respiratory therapy")),
        ],
        "subject": seen.person.reference,
        "encounter": to("Encounter", seen.id),
        "period": period,
        "careTeam": [to("CareTeam", team)],
        "activity": [
            {
                "detail": {
                    "code": concept(SNOMED, activity),
                    "status": "in-progress" if status == "active" else "completed",
                    "location": {"display": seen.place.name},
                }
            }
        ],
    }


def _encounter(seen: Visit, class_: str, reason: Term) -> Resource:
    period = {"start": when(seen.at), "end": when(seen.at, minutes=15)}
    return resource("Encounter", seen.id) | {
        "meta": profiles(f"{CORE}/us-core-encounter"),
        "identifier": [{"use": "official", "system": SYNTHEA, "value": seen.id}],
        "status": "finished",
        "class": {"system": f"{TERMINOLOGY}/v3-ActCode", "code": class_},
        "type": [concept(SNOMED, reason)],
        "subject": {**seen.person.reference, "display": seen.person.display},
        "participant": [
            {
                "type": [concept(f"{TERMINOLOGY}/v3-ParticipationType", ("PPRF", "primary performer"))],
                "period": period,
                "individual": seen.doctor.reference,
            }
        ],
        "period": period,
        "location": [{"location": seen.place.location_reference}],
        "serviceProvider": seen.place.organization_reference,
    }


def _condition(seen: Visit, draws: Draws) -> Iterator[Resource]:
    resolved = draws.chance(0.6)
    yield resource("Condition", draws.uuid()) | {
        "meta": profiles(f"{CORE}/us-core-condition"),
        "clinicalStatus": code_of("condition-clinical", "resolved" if resolved else "active"),
        "verificationStatus": code_of("condition-ver-status", "confirmed"),
        "category": [
            concept(f"{TERMINOLOGY}/condition-category", ("encounter-diagnosis", "Encounter Diagnosis")),
        ],
        "code": concept(SNOMED, draws.common(CONDITIONS)),
        "subject": seen.person.reference,
        "encounter": to("Encounter", seen.id),
        "onsetDateTime": when(seen.at),
        **({"abatementDateTime": when(seen.at, minutes=20_000)} if resolved else {}),
        "recordedDate": when(seen.at),
    }


def _procedure(seen: Visit, draws: Draws, term: Term) -> Resource:
    return resource("Procedure", draws.uuid()) | {
        "meta": profiles(f"{CORE}/us-core-procedure"),
        "status": "completed",
        "code": concept(SNOMED, term),
        "subject": seen.person.reference,
        "encounter": to("Encounter", seen.id),
        "performedPeriod": {"start": when(seen.at), "end": when(seen.at, minutes=15)},
        "location": seen.place.location_reference,
    }


def _immunization(seen: Visit, draws: Draws, term: Term) -> Resource:
    return resource("Immunization", draws.uuid()) | {
        "meta": profiles(f"{CORE}/us-core-immunization"),
        "status": "completed",
        "vaccineCode": concept(CVX, term),
        "patient": seen.person.reference,
        "encounter": to("Encounter", seen.id),
        "occurrenceDateTime": when(seen.at),
        "primarySource": True,
        "location": seen.place.location_reference,
    }


def _medication(seen: Visit, draws: Draws) -> Iterator[Resource]:
    """The MedicationRequest and its Claim; sometimes the drug is a Medication, and given at once."""
    term = draws.common(MEDICATIONS)
    given = draws.chance(0.2)
    drug: Resource = {"medicationCodeableConcept": concept(RXNORM, term)}
    if given:
        medication = draws.uuid()
        drug = {"medicationReference": to("Medication", medication)}
        yield resource("Medication", medication) | {
            "meta": profiles(f"{CORE}/us-core-medication"),
            "code": concept(RXNORM, term),
            "status": "active",
        }
        yield resource("MedicationAdministration", draws.uuid()) | {
            "status": "completed",
            "medicationCodeableConcept": concept(RXNORM, term),
            "subject": seen.person.reference,
            "context": to("Encounter", seen.id),
            "effectiveDateTime": when(seen.at),
        }
    yield resource("MedicationRequest", draws.uuid()) | {
        "meta": profiles(f"{CORE}/us-core-medicationrequest"),
        "status": "active" if draws.chance(0.3) else "stopped",
        "intent": "order",
        **drug,
        "subject": seen.person.reference,
        "encounter": to("Encounter", seen.id),
        "authoredOn": when(seen.at),
        "requester": seen.doctor.reference,
        "dosageInstruction": [{"sequence": 1, "text": "Take as needed.", "asNeededBoolean": True}],
    }
    insurer, price = draws.common(INSURERS), draws.between(5, 400, digits=2)
    yield claim(seen, draws.uuid(), insurer=insurer, services=[(RXNORM, term)], prices=(), price=price)


def _imaging(seen: Visit, draws: Draws) -> Resource:
    uid = f"1.2.840.99999999.{draws.below(10**8)}"
    return resource("ImagingStudy", draws.uuid()) | {
        "identifier": [{"use": "official", "system": "urn:ietf:rfc:3986", "value": f"urn:oid:{uid}"}],
        "status": "available",
        "subject": seen.person.reference,
        "encounter": to("Encounter", seen.id),
        "started": when(seen.at),
        "numberOfSeries": 1,
        "numberOfInstances": 1,
        "procedureCode": [concept(SNOMED, ("399208008", "Plain chest X-ray (procedure)"))],
        "location": seen.place.location_reference,
        "series": [
            {
                "uid": f"{uid}.1",
                "number": 1,
                "modality": {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "DX"},
                "numberOfInstances": 1,
                "bodySite": coding(SNOMED, ("51185008", "Chest")),
                "started": when(seen.at),
                "instance": [
                    {
                        "uid": f"{uid}.1.1",
                        "sopClass": {"system": "urn:ietf:rfc:3986", "code": "urn:oid:1.2.840.10008.5.1.4.1.1.1.1"},
                        "number": 1,
                        "title": "Image of chest",
                    }
                ],
            }
        ],
    }
