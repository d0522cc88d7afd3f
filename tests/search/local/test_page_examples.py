"""The examples of the search page of R4, each against resources that it should find and others that it should not.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fhirstore.errors import Unsupported
from fhirstore.fhir import json
from fhirstore.fhir.times import period
from fhirstore.index.local.apply import Batch
from fhirstore.index.local.file import IndexFile
from fhirstore.search.pages.finding import find
from fhirstore.search.pages.includes import included
from tests.search.local.indexing import asked, changes, new_index, search
from tests.search.matching.asking import NOW

LOINC, UCUM, SCT = "http://loinc.org", "http://unitsofmeasure.org", "http://snomed.info/sct"


def _concept(system: str | None, code: str, text: str | None = None) -> dict[str, Any]:
    coding: dict[str, Any] = {"code": code, **({"system": system} if system else {})}
    return {"coding": [coding], **({"text": text} if text else {})}


def _ref(name: str) -> dict[str, Any]:
    return {"reference": name}


def _quantity(value: float, code: str, system: str | None = UCUM) -> dict[str, Any]:
    return {"value": value, "unit": code, "code": code, **({"system": system} if system else {})}


def _observation(id: str, **members: object) -> dict[str, Any]:
    return {"resourceType": "Observation", "id": id, **members}


def _report(id: str, **members: object) -> dict[str, Any]:
    return {"resourceType": "DiagnosticReport", "id": id, **members}


_PATIENTS: list[dict[str, Any]] = [
    {
        "id": "23",
        "active": True,
        "gender": "male",
        "birthDate": "2010-06-15",
        "name": [{"given": ["Eve"], "family": "Peterson"}],
        "identifier": [{"system": "http://acme.org/patient", "value": "2345"}],
        "generalPractitioner": [_ref("Practitioner/joe")],
        "communication": [{"language": _concept("urn:ietf:bcp:47", "FR")}],
    },
    {
        "id": "24",
        "active": False,
        "gender": "female",
        "birthDate": "2011-12-31",
        "name": [{"given": ["Evelyn"], "family": "Smith"}],
        "identifier": [
            {
                "type": _concept("http://terminology.hl7.org/CodeSystem/v2-0203", "MR"),
                "system": "http://acme.org/mrn",
                "value": "446053",
            }
        ],
        "generalPractitioner": [_ref("Practitioner/joe-too")],
        "communication": [
            {"language": _concept("urn:ietf:bcp:47", "FR")},
            {"language": _concept("urn:ietf:bcp:47", "NL")},
        ],
    },
    {
        "id": "25",
        "birthDate": "2012-01-01",
        "name": [{"given": ["Severine"], "family": "Jones"}],
        "identifier": [{"system": "http://other.org", "value": "2345"}],
    },
    {
        "id": "26",
        "gender": "other",
        "birthDate": "2009-12-31",
        "name": [{"given": ["peter"]}],
        "communication": [{"language": _concept("urn:ietf:bcp:47", "NL")}],
    },
]

_OBSERVATIONS = [
    _observation(
        "mg5.4",
        status="final",
        code=_concept(LOINC, "1234-5"),
        subject=_ref("Patient/23"),
        effectiveDateTime="2013-01-14T00:00:00Z",
        valueQuantity=_quantity(5.4, "mg"),
    ),
    _observation(
        "mg5.45",
        status="amended",
        code=_concept(LOINC, "2823-3"),
        subject=_ref("http://acme.org/fhir/Patient/123"),
        effectiveDateTime="2013-01-14T10:00:00Z",
        valueQuantity=_quantity(5.45, "mg"),
    ),
    _observation(
        "mg5.35",
        status="final",
        code=_concept("urn:local", "a"),
        subject=_ref("Patient/24"),
        effectiveDateTime="2013-01-15T00:00:00Z",
        valueQuantity=_quantity(5.35, "mg"),
    ),
    _observation(
        "mg6",
        status="final",
        code=_concept("urn:local", "b"),
        subject=_ref("Device/23"),
        effectiveDateTime="2013-01-14",
        valueQuantity=_quantity(6, "mg", "urn:units"),
    ),
    _observation(
        "kg5.4", status="preliminary", code=_concept("urn:local", "a,b"), valueQuantity=_quantity(5.4, "kg", None)
    ),
    _observation("g", status="final", code=_concept("urn:local", "c"), valueQuantity=_quantity(0.0054, "g")),
    _observation(
        "potassium",
        status="final",
        code=_concept(LOINC, "2823-3"),
        subject=_ref("Patient/23"),
        valueQuantity=_quantity(6.1, "mmol/L"),
    ),
    _observation(
        "pressure",
        status="final",
        code=_concept(LOINC, "85354-9"),
        component=[
            {"code": _concept(LOINC, "8480-6"), "valueQuantity": _quantity(107, "mm[Hg]")},
            {"code": _concept(LOINC, "8462-4"), "valueQuantity": _quantity(59, "mm[Hg]")},
        ],
    ),
    _observation(
        "low",
        status="final",
        code=_concept(LOINC, "85354-9"),
        component=[{"code": _concept(LOINC, "8480-6"), "valueQuantity": _quantity(59, "mm[Hg]")}],
    ),
]

_PERIODS = {
    "from-21-jan": {"start": "2013-01-21"},
    "to-21-jan": {"end": "2013-01-21"},
    "from-15-mar": {"start": "2013-03-15"},
    "14-mar": {"start": "2013-03-14", "end": "2013-03-14"},
}

_OTHERS: list[dict[str, Any]] = [
    {"resourceType": "Practitioner", "id": "joe", "name": [{"given": ["Joe"]}], "address": [{"state": "MN"}]},
    {"resourceType": "Practitioner", "id": "joe-too", "name": [{"given": ["Joe"]}], "address": [{"state": "NY"}]},
    {"resourceType": "Practitioner", "id": "MyUserId"},
    {"resourceType": "Device", "id": "23"},
    {
        "resourceType": "Condition",
        "id": "ha",
        "meta": {"tag": [{"system": "http://acme.org/codes", "code": "needs-review"}]},
        "code": _concept("http://acme.org/conditions/codes", "ha125", "Headache, severe"),
        "subject": {"identifier": {"system": "http://acme.org/fhir/identifier/mrn", "value": "123456"}},
    },
    {
        "resourceType": "Condition",
        "id": "ha-of-others",
        "meta": {"tag": [{"system": "http://other.org", "code": "needs-review"}]},
        "code": _concept("http://other.org/codes", "ha125", "Pain"),
        "subject": _ref("Patient/23"),
    },
    _report(
        "lipid",
        meta={"profile": ["http://hl7.org/fhir/StructureDefinition/lipid"]},
        subject=_ref("Patient/26"),
        result=[_ref("Observation/potassium")],
    ),
    _report("by-device", subject=_ref("Device/23"), result=[_ref("Observation/mg5.4")]),
    *({"resourceType": "Encounter", "id": id_, "period": period} for id_, period in _PERIODS.items()),
    {"resourceType": "Encounter", "id": "of-23", "subject": _ref("Patient/23")},
    *(
        {"resourceType": "RiskAssessment", "id": f"p{value}", "prediction": [{"probabilityDecimal": value}]}
        for value in (0.79, 0.8, 0.81, 95, 99.5, 99.994, 99.996, 100, 100.5, 104.9, 105)
    ),
    *(
        {"resourceType": "ValueSet", "id": id_, "url": url}
        for id_, url in {
            "root": "http://acme.org/fhir/",
            "123": "http://acme.org/fhir/ValueSet/123",
            "1234": "http://acme.org/fhir/ValueSet/1234",
            "oid": "urn:oid:1.2.3.4.5",
        }.items()
    ),
    {"resourceType": "Composition", "id": "with", "section": [{"code": _concept(LOINC, "48765-2")}]},
    {
        "resourceType": "Composition",
        "id": "with-others",
        "section": [{"code": _concept(LOINC, "48765-2")}, {"code": _concept(LOINC, "1-1")}],
    },
    {"resourceType": "Composition", "id": "without", "section": [{"code": _concept(LOINC, "1-1")}]},
    {"resourceType": "Composition", "id": "without-sections"},
    {
        "resourceType": "Group",
        "id": "102",
        "member": [{"entity": _ref("Patient/23")}],
        "characteristic": [{"code": _concept(None, "gender"), "valueCodeableConcept": _concept(None, "mixed")}],
    },
    {
        "resourceType": "Group",
        "id": "103",
        "member": [{"entity": _ref("Patient/24")}],
        "characteristic": [
            {"code": _concept(None, "gender"), "valueCodeableConcept": _concept(None, "female")},
            {"code": _concept(None, "kind"), "valueCodeableConcept": _concept(None, "mixed")},
        ],
    },
    {
        "resourceType": "Questionnaire",
        "id": "focus",
        "useContext": [
            {"code": {"code": "focus"}, "valueCodeableConcept": _concept(SCT, "408934002")},
            {"code": {"code": "venue"}, "valueCodeableConcept": _concept(SCT, "1")},
        ],
    },
    {
        "resourceType": "Questionnaire",
        "id": "venue",
        "useContext": [
            {"code": {"code": "venue"}, "valueCodeableConcept": _concept(SCT, "408934002")},
            {"code": {"code": "focus"}, "valueCodeableConcept": _concept(SCT, "1")},
        ],
    },
    {
        "resourceType": "AuditEvent",
        "id": "looked",
        "agent": [{"who": _ref("Practitioner/MyUserId"), "requestor": True}],
        "entity": [{"what": _ref("Observation/mg5.4")}],
    },
    {
        "resourceType": "AuditEvent",
        "id": "looked-too",
        "agent": [{"who": _ref("Practitioner/joe"), "requestor": True}],
        "entity": [{"what": _ref("Observation/mg5.35")}],
    },
    {"resourceType": "List", "id": "42", "entry": [{"item": _ref("Patient/24")}, {"item": _ref("Condition/ha")}]},
    {"resourceType": "Medication", "id": "m"},
    {
        "resourceType": "MedicationRequest",
        "id": "mr",
        "medicationReference": _ref("Medication/m"),
        "subject": _ref("Patient/23"),
        "requester": _ref("Practitioner/joe"),
        "performer": _ref("Practitioner/joe-too"),
    },
    {"resourceType": "Provenance", "id": "pr", "target": [_ref("MedicationRequest/mr")]},
    {
        "resourceType": "MedicationDispense",
        "id": "md",
        "authorizingPrescription": [_ref("MedicationRequest/mr")],
    },
]

EXAMPLES: list[tuple[str, str, list[str]]] = [
    # parameters for all resources
    ("Patient", "_id=23", ["23"]),
    ("Patient", "_tag=http://acme.org/codes|needs-review", []),
    ("Condition", "_tag=http://acme.org/codes|needs-review", ["ha"]),
    ("Patient", "_lastUpdated=gt2010-10-01", ["23", "25", "26"]),
    ("DiagnosticReport", "_profile=http://hl7.org/fhir/StructureDefinition/lipid", ["lipid"]),
    # modifiers
    ("Patient", "gender:missing=true", ["25"]),
    ("Patient", "gender:missing=false", ["23", "24", "26"]),
    # numbers
    (
        "RiskAssessment",
        "probability=gt0.8",
        ["p0.81", "p95", "p99.5", "p99.994", "p99.996", "p100", "p100.5", "p104.9", "p105"],
    ),
    ("RiskAssessment", "probability=100", ["p99.5", "p99.994", "p99.996", "p100"]),
    ("RiskAssessment", "probability=100.00", ["p99.996", "p100"]),
    ("RiskAssessment", "probability=1e2", ["p95", "p99.5", "p99.994", "p99.996", "p100", "p100.5", "p104.9"]),
    ("RiskAssessment", "probability=lt100", ["p0.79", "p0.8", "p0.81", "p95", "p99.5", "p99.994", "p99.996"]),
    ("RiskAssessment", "probability=le100", ["p0.79", "p0.8", "p0.81", "p95", "p99.5", "p99.994", "p99.996", "p100"]),
    ("RiskAssessment", "probability=gt100", ["p100.5", "p104.9", "p105"]),
    ("RiskAssessment", "probability=ge100", ["p100", "p100.5", "p104.9", "p105"]),
    ("RiskAssessment", "probability=ne100", ["p0.79", "p0.8", "p0.81", "p95", "p100.5", "p104.9", "p105"]),
    # dates, and the table of prefixes
    ("Observation", "date=eq2013-01-14", ["mg5.4", "mg5.45", "mg6"]),
    ("Observation", "date=ne2013-01-14", ["mg5.35"]),
    ("Observation", "date=lt2013-01-14T10:00Z", ["mg5.4", "mg6"]),
    ("Observation", "date=gt2013-01-14T10:00Z", ["mg5.35", "mg6"]),
    ("Encounter", "date=ge2013-03-14", ["from-21-jan", "from-15-mar", "14-mar"]),
    ("Encounter", "date=le2013-03-14", ["from-21-jan", "to-21-jan", "14-mar"]),
    ("Encounter", "date=sa2013-03-14", ["from-15-mar"]),
    ("Encounter", "date=eb2013-03-14", ["to-21-jan"]),
    ("Encounter", "date=2013-03-14", ["14-mar"]),
    ("Patient", "birthdate=ge2010-01-01&birthdate=le2011-12-31", ["23", "24"]),
    # strings
    ("Patient", "given=eve", ["23", "24"]),
    ("Patient", "given:contains=eve", ["23", "24", "25"]),
    ("Patient", "given:exact=Eve", ["23"]),
    # uris
    ("ValueSet", "url=http://acme.org/fhir/ValueSet/123", ["123"]),
    ("ValueSet", "url:below=http://acme.org/fhir/", ["root", "123", "1234"]),
    ("ValueSet", "url:above=http://acme.org/fhir/ValueSet/123/_history/5", ["root", "123"]),
    ("ValueSet", "url=urn:oid:1.2.3.4.5", ["oid"]),
    # tokens
    ("Patient", "identifier=http://acme.org/patient|2345", ["23"]),
    ("Patient", "identifier=2345", ["23", "25"]),
    ("Patient", "gender=male", ["23"]),
    ("Patient", "gender:not=male", ["24", "25", "26"]),
    ("Composition", "section=48765-2", ["with", "with-others"]),
    ("Composition", "section:not=48765-2", ["without", "without-sections"]),
    ("Patient", "active=true", ["23"]),
    ("Condition", "code=http://acme.org/conditions/codes|ha125", ["ha"]),
    ("Condition", "code=ha125", ["ha", "ha-of-others"]),
    ("Condition", "code:text=headache", ["ha"]),
    ("Patient", "identifier:of-type=http://terminology.hl7.org/CodeSystem/v2-0203|MR|446053", ["24"]),
    # quantities
    ("Observation", f"value-quantity=5.4|{UCUM}|mg", ["mg5.4", "mg5.35", "g"]),
    ("Observation", "value-quantity=5.4||mg", ["mg5.4", "mg5.35"]),
    ("Observation", "value-quantity=5.4", ["mg5.4", "mg5.35", "kg5.4"]),
    ("Observation", f"value-quantity=5.40e-3|{UCUM}|g", ["mg5.4", "g"]),
    ("Observation", f"value-quantity=le5.4|{UCUM}|mg", ["mg5.4", "mg5.35", "g"]),
    ("Observation", f"value-quantity=ap5.4|{UCUM}|mg", ["mg5.4", "mg5.45", "mg5.35", "g"]),
    # references
    ("Observation", "subject=Patient/23", ["mg5.4", "potassium"]),
    ("Observation", "subject=23", ["mg5.4", "mg6", "potassium"]),
    ("Observation", "subject:Patient=23", ["mg5.4", "potassium"]),
    ("Observation", "subject=http://acme.org/fhir/Patient/123", ["mg5.45"]),
    ("Condition", "subject:identifier=http://acme.org/fhir/identifier/mrn|123456", ["ha"]),
    # composites
    ("DiagnosticReport", f"result.code-value-quantity={LOINC}|2823-3$gt5.4|{UCUM}|mmol/L", ["lipid"]),
    ("Observation", f"component-code-value-quantity={LOINC}|8480-6$lt60", ["low"]),
    ("Group", "characteristic-value=gender$mixed", ["102"]),
    ("Questionnaire", f"context-type-value=focus${SCT}|408934002", ["focus"]),
    # several values
    ("Patient", "language=FR,NL", ["23", "24", "26"]),
    ("Patient", "language=FR&language=NL", ["24"]),
    ("Observation", "code=a,b", ["mg5.35", "mg6"]),
    ("Observation", r"code=a\,b", ["kg5.4"]),
    # chains
    ("DiagnosticReport", "subject.name=peter", ["lipid"]),
    ("DiagnosticReport", "subject:Patient.name=peter", ["lipid"]),
    ("DiagnosticReport", "subject:Device._id=23", ["by-device"]),
    ("Patient", "general-practitioner.name=Joe&general-practitioner.address-state=MN", ["23"]),
    ("Patient", "_has:Observation:patient:code=1234-5", ["23"]),
    ("Patient", "_has:Observation:patient:_has:AuditEvent:entity:agent=MyUserId", ["23"]),
    ("Patient", "_has:Group:member:_id=102", ["23"]),
    ("Encounter", "patient._has:Group:member:_id=102", ["of-23"]),
    # lists
    ("Patient", "_list=42", ["24"]),
    # order
    ("Observation", "subject=Patient/23&_sort=-date", ["mg5.4", "potassium"]),
    ("Patient", "_sort=-birthdate", ["25", "24", "23", "26"]),
]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IndexFile]:
    """An index of these resources."""
    folder: Path = tmp_path_factory.mktemp("examples")
    index = new_index(folder)
    patients = [{"resourceType": "Patient", **one} for one in _PATIENTS]
    some = changes(json.parse(json.dump(one)) for one in (*patients, *_OBSERVATIONS, *_OTHERS))
    times = {"Patient/23": period("2010-10-02").start, "Patient/24": period("2010-09-30").start}
    index.apply(Batch([replace(one, t=times.get(one.name, one.t)) for one in some], at=NOW))
    yield index
    index.close()


@pytest.mark.parametrize(
    ("type", "query", "expected"), EXAMPLES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_an_example_finds_what_the_page_says(index: IndexFile, type: str, query: str, expected: list[str]) -> None:
    """These resources, and no others."""
    assert search(index, type, query) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("_include=MedicationRequest:medication&_revinclude=Provenance:target", ["Medication/m", "Provenance/pr"]),
        ("_include=MedicationRequest:requester:Practitioner", ["Practitioner/joe"]),
        ("_include=MedicationRequest:requester:Organization", []),
        (
            "_include=*",
            ["Medication/m", "Patient/23", "Practitioner/joe", "Practitioner/joe-too"],
        ),
    ],
)
def test_what_an_example_includes_comes_along(index: IndexFile, query: str, expected: list[str]) -> None:
    """Forwards and backwards."""
    assert along(index, "MedicationRequest", query) == expected


def test_includes_of_includes(index: IndexFile) -> None:
    """`:iterate` applies to what comes along, too."""
    query = "_include=MedicationDispense:prescription&_include{}=MedicationRequest:intended-performer"
    assert along(index, "MedicationDispense", query.format("")) == ["MedicationRequest/mr"]
    assert along(index, "MedicationDispense", query.format(":iterate")) == [
        "MedicationRequest/mr",
        "Practitioner/joe-too",
    ]


def test_the_order_of_several_keys(index: IndexFile) -> None:
    """By status, then the newest first, those without a date last."""
    assert search(index, "Observation", "_sort=status,-date&_id=mg5.4,mg5.45,mg5.35,g,kg5.4") == [
        "mg5.45",
        "mg5.35",
        "mg5.4",
        "g",
        "kg5.4",
    ]


@pytest.mark.parametrize(
    ("type", "query"),
    [
        ("Patient", "_filter=given eq peter"),
        ("Patient", "_query=name"),
        ("MedicationRequest", "medication.ingredient-code=abc&_contained=true"),
        ("AllergyIntolerance", "patient=42&_list=$current-allergies"),
    ],
)
def test_what_is_not_done_is_refused_by_name(index: IndexFile, type: str, query: str) -> None:
    """An answer that ignores it would be wrong."""
    name = query.partition("=")[0] if query.startswith("_") else query.rpartition("&")[2].partition("=")[0]
    with pytest.raises(Unsupported, match=name):
        search(index, type, query)


def along(index: IndexFile, type: str, query: str) -> list[str]:
    """The names of what comes along."""
    wanted = asked(index, type, query)
    with index.read() as reader:
        matches = find(reader, wanted, now=NOW).names
        return sorted(f"{one.type}/{one.id}" for one in included(reader, wanted, matches, now=NOW).names)
