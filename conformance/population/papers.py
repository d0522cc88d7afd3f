"""What is written and billed about a visit: a note as DiagnosticReport and DocumentReference, Claims, their benefits.

https://hl7.org/fhir/R4/documentreference.html · https://hl7.org/fhir/R4/explanationofbenefit.html
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence

from conformance.population.draws import Draws, when
from conformance.population.elements import (
    Resource,
    code_of,
    coding,
    concept,
    money,
    profiles,
    resource,
    to,
)
from conformance.population.findings import Visit
from conformance.population.vocabulary import (
    CONDITIONS,
    CORE,
    INSURERS,
    LOINC,
    MEDICATIONS,
    PROCEDURES,
    SNOMED,
    TERMINOLOGY,
    Term,
)

_BLUE_BUTTON = "https://bluebutton.cms.gov/resources"
_NOTE = {
    "coding": [
        coding(LOINC, ("34117-2", "History and physical note")),
        coding(LOINC, ("51847-2", "Evaluation+Plan note")),
    ]
}
_AMOUNTS = (  # of a line, as a share of its price
    ("line_coinsrnc_amt", "Line Beneficiary Coinsurance Amount", 0.2),
    ("line_prvdr_pmt_amt", "Line Provider Payment Amount", 0.8),
    ("line_sbmtd_chrg_amt", "Line Submitted Charge Amount", 1.0),
    ("line_alowd_chrg_amt", "Line Allowed Charge Amount", 1.0),
    ("line_bene_ptb_ddctbl_amt", "Line Beneficiary Part B Deductible Amount", 0.0),
)


def notes(visit: Visit, draws: Draws) -> Iterator[Resource]:
    """The note of the visit, twice, as Synthea gives it."""
    text = {"contentType": "text/plain; charset=utf-8", "data": b64encode(_text(visit, draws).encode()).decode()}
    yield resource("DiagnosticReport", draws.uuid()) | {
        "meta": profiles(f"{CORE}/us-core-diagnosticreport-note"),
        "status": "final",
        "category": [_NOTE],
        "code": _NOTE,
        "subject": visit.person.reference,
        "encounter": to("Encounter", visit.id),
        "effectiveDateTime": when(visit.at),
        "issued": when(visit.at),
        "performer": [visit.doctor.reference],
        "presentedForm": [text],
    }
    yield resource("DocumentReference", draws.uuid()) | {
        "meta": profiles(f"{CORE}/us-core-documentreference"),
        "identifier": [{"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{draws.uuid()}"}],
        "status": "superseded" if draws.chance(0.9) else "current",
        "type": _NOTE,
        "category": [
            concept(
                "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category",
                ("clinical-note", "Clinical Note"),
            )
        ],
        "subject": visit.person.reference,
        "date": when(visit.at),
        "author": [visit.doctor.reference],
        "custodian": visit.place.organization_reference,
        "content": [
            {
                "attachment": text,
                "format": {
                    "system": "http://ihe.net/fhir/ValueSet/IHE.FormatCode.codesystem",
                    "code": "urn:ihe:iti:xds:2017:mimeTypeSufficient",
                    "display": "mimeType Sufficient",
                },
            }
        ],
        "context": {"encounter": [to("Encounter", visit.id)], "period": _period(visit)},
    }


def bills(visit: Visit, draws: Draws, reason: Term, lines: Sequence[tuple[str, Term]]) -> Iterator[Resource]:
    """The Claim of the visit and its ExplanationOfBenefit. `lines`: services beside it, as system and code."""
    insurer, price = draws.common(INSURERS), draws.between(80, 200, digits=2)
    prices = [draws.between(20, 900, digits=2) for _ in lines]
    services = [(SNOMED, reason), *lines]
    claim_id = draws.uuid()
    yield claim(visit, claim_id, insurer=insurer, services=services, prices=prices, price=price)
    patient = visit.person.reference
    yield resource("ExplanationOfBenefit", draws.uuid()) | {
        "contained": [
            resource("ServiceRequest", "referral")
            | {"status": "completed", "intent": "order", "subject": patient}
            | {"requester": visit.doctor.reference, "performer": [visit.doctor.reference]},
            resource("Coverage", "coverage")
            | {"status": "active", "type": {"text": insurer}, "beneficiary": patient, "payor": [{"display": insurer}]},
        ],
        "identifier": [
            {"system": f"{_BLUE_BUTTON}/variables/clm_id", "value": claim_id},
            {"system": f"{_BLUE_BUTTON}/identifier/claim-group", "value": "99999999999"},
        ],
        "status": "active",
        "type": code_of("claim-type", "institutional"),
        "use": "claim",
        "patient": patient,
        "billablePeriod": {"start": when(visit.at, minutes=15), "end": when(visit.at, minutes=15 + 365 * 1440)},
        "created": when(visit.at, minutes=15),
        "insurer": {"display": insurer},
        "provider": visit.doctor.reference,
        "referral": {"reference": "#referral"},
        "facility": visit.place.location_reference,
        "claim": to("Claim", claim_id),
        "outcome": "complete",
        "careTeam": [
            {
                "sequence": 1,
                "provider": visit.doctor.reference,
                "role": concept(f"{TERMINOLOGY}/claimcareteamrole", ("primary", "Primary Care Practitioner")),
            }
        ],
        "insurance": [{"focal": True, "coverage": {"reference": "#coverage", "display": insurer}}],
        "item": [_line(visit, n, service, prices) for n, service in enumerate(services)],
        "total": [
            {
                "category": concept(f"{TERMINOLOGY}/adjudication", ("submitted", "Submitted Amount")),
                "amount": money(price),
            }
        ],
        "payment": {"amount": money(round(sum(prices) * 0.8, 2))},
    }


def claim(
    visit: Visit,
    id_: str,
    *,
    insurer: str,
    services: Sequence[tuple[str, Term]],
    prices: Sequence[float],
    price: float,
) -> Resource:
    """A Claim of these services; the first is the visit, `prices` those of the others."""
    items: list[Resource] = [
        {"sequence": n + 1, "productOrService": concept(*service)} | ({"net": money(prices[n - 1])} if n else {})
        for n, service in enumerate(services)
    ]
    items[0]["encounter"] = [to("Encounter", visit.id)]
    return resource("Claim", id_) | {
        "status": "active",
        "type": code_of("claim-type", "institutional"),
        "use": "claim",
        "patient": {**visit.person.reference, "display": visit.person.display},
        "billablePeriod": _period(visit),
        "created": when(visit.at, minutes=15),
        "provider": visit.place.organization_reference,
        "priority": code_of("processpriority", "normal"),
        "facility": visit.place.location_reference,
        "insurance": [{"sequence": 1, "focal": True, "coverage": {"display": insurer}}],
        "item": items,
        "total": money(price),
    }


def _line(visit: Visit, n: int, service: tuple[str, Term], prices: Sequence[float]) -> Resource:
    line: Resource = {
        "sequence": n + 1,
        "category": concept(f"{_BLUE_BUTTON}/variables/line_cms_type_srvc_cd", ("1", "Medical care")),
        "productOrService": concept(*service),
        "servicedPeriod": _period(visit),
        "locationCodeableConcept": concept(f"{TERMINOLOGY}/ex-serviceplace", ("19", "Off Campus-Outpatient Hospital")),
    }
    if n == 0:
        return line | {"encounter": [to("Encounter", visit.id)]}
    price = prices[n - 1]
    return line | {
        "net": money(price),
        "adjudication": [
            {
                "category": {
                    "coding": [
                        coding(f"{_BLUE_BUTTON}/codesystem/adjudication", (f"{_BLUE_BUTTON}/variables/{code}", text))
                    ]
                },
                "amount": money(round(price * share, 2)),
            }
            for code, text, share in _AMOUNTS
        ],
    }


def _text(visit: Visit, draws: Draws) -> str:
    person = visit.person
    return (
        f"\n{visit.at.date()}\n\n# Chief Complaint\nNo complaints.\n\n# History of Present Illness\n"
        f"{person.given} is a {visit.at.year - person.birth_year} year-old {'female' if person.female else 'male'}."
        f" Patient has a history of {', '.join(draws.common(CONDITIONS)[1].lower() for _ in range(3))}.\n\n"
        f"# Social History\nPatient comes from a middle socioeconomic background and currently has "
        f"{draws.common(INSURERS)}.\n\n# Allergies\nNo Known Allergies.\n\n# Medications\n"
        f"{'; '.join(draws.common(MEDICATIONS)[1].lower() for _ in range(2))}\n\n# Assessment and Plan\n\n## Plan\n"
        f"The following procedures were conducted:\n- {draws.common(PROCEDURES)[1].lower()}\n"
    )


def _period(visit: Visit) -> Resource:
    return {"start": when(visit.at), "end": when(visit.at, minutes=15)}
