"""The rules of structure that primitives do not tell: siblings, choices, resources within resources, references."""

from __future__ import annotations

import pytest

from fhirstore.errors import RulesBroken
from fhirstore.fhir import json
from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.validation import Validator
from fhirstore.fhir.validation.validator import MOST_ISSUES

R4 = Validator(definitions("4.0"))
EXTENSION = '[{"url":"u","valueCode":"x"}]'

RIGHT = (
    '"id":"a","meta":{"tag":[{"code":"x"}],"profile":["http://a"],"versionId":"1"}',
    f'"name":[{{"given":[null,"x"],"_given":[{{"extension":{EXTENSION}}},null]}}]',
    f'"name":[{{"given":["x","y"],"_given":[null,{{"id":"i","extension":{EXTENSION}}}]}}]',
    f'"name":[{{"_given":[{{"extension":{EXTENSION}}}]}}]',
    '"birthDate":"1974-12-25","_birthDate":{"id":"x"}',
    f'"_birthDate":{{"extension":{EXTENSION}}}',
    f'"_deceasedBoolean":{{"extension":{EXTENSION}}}',
    f'"deceasedBoolean":true,"_deceasedBoolean":{{"extension":{EXTENSION}}}',
    f'"communication":[{{"language":{{"text":"x"}},"_preferred":{{"extension":{EXTENSION}}}}}]',
    f'"link":[{{"other":{{"reference":"Patient/1"}},"_type":{{"extension":{EXTENSION}}}}}]',
    '"contained":[{"resourceType":"Organization","id":"o"}],"managingOrganization":{"reference":"#o"}',
    '"extension":[{"url":"u","extension":[{"url":"v","valueReference":{"reference":"urn:uuid:'
    'c757873d-ec9a-4326-a141-556f43239520"}}]}]',
    '"extension":[{"url":"u","_valueCode":{"extension":' + EXTENSION + "}}]",
)


@pytest.mark.parametrize("members", RIGHT)
def test_what_is_rare_but_right_is_accepted(members: str) -> None:
    """Nulls in arrays, values that are only extended, required elements met by their sibling, contained resources."""
    R4.check(json.parse(f'{{"resourceType":"Patient",{members}}}'.encode()))


WRONG = {
    f'"deceasedBoolean":true,"_deceasedDateTime":{{"extension":{EXTENSION}}}': ("structure", "Patient.deceased"),
    '"_deceasedBoolean":{"id":"x"}': ("structure", "Patient.deceased"),
    '"name":[{"given":[null]}]': ("structure", "Patient.name[0].given[0]"),
    '"name":[{"given":["a",null],"_given":[null,null]}]': ("structure", "Patient.name[0].given[1]"),
    '"name":[{"given":["a"],"_given":[]}]': ("structure", "Patient.name[0].given"),
    '"name":[{"given":["a"],"_given":[{"id":1}]}]': ("structure", "Patient.name[0].given[0].id"),
    '"name":[{"given":["a"],"_given":[{"extension":[{"url":"u"}]}]}]': (
        "structure",
        "Patient.name[0].given[0].extension[0]",
    ),
    '"name":[{"given":["a"],"_given":[{"value":"b"}]}]': ("structure", "Patient.name[0].given[0].value"),
    '"_id":{"extension":[]}': ("structure", "Patient.id.extension"),
    '"_text":{"id":"x"}': ("structure", "Patient.text"),
    '"text":{"status":"empty"}': ("required", "Patient.text.`div`"),
    '"contained":[{"resourceType":"Bundle","type":"collection","entry":[{"resource":{"resourceType":"X"}}]}]': (
        "value",
        "Patient.contained[0].entry[0].resource",
    ),
    '"_birthDate":{"id":"x"}': ("structure", "Patient.birthDate"),
    '"birthDate":null,"_birthDate":{"id":"x"}': ("structure", "Patient.birthDate"),
    '"_birthDate":[{"id":"x"}]': ("structure", "Patient.birthDate"),
    '"name":[{"given":["a"],"_given":[{"id":"x"},null]}]': ("structure", "Patient.name[0].given[1]"),
    '"name":[{"given":["a",null],"_given":[{"id":"x"}]}]': ("structure", "Patient.name[0].given[1]"),
    '"_name":[{"id":"x"}]': ("structure", "Patient.name"),
    '"__birthDate":{"id":"x"}': ("structure", "Patient._birthDate"),
    '"name":[{"modifierExtension":[{"url":"u","valueCode":"x"}]}]': (
        "structure",
        "Patient.name[0].modifierExtension",
    ),
    '"extension":[{"url":"u","valueAge":{"values":1}}]': ("structure", "Patient.extension[0].value.values"),
    '"deceased":true': ("structure", "Patient.deceased"),
    '"deceasedString":"x"': ("structure", "Patient.deceasedString"),
    '"contained":[{"resourceType":"DomainResource"}]': ("value", "Patient.contained[0]"),
    '"meta":{"tag":[{}]}': ("structure", "Patient.meta.tag[0]"),
    '"gender":"Male"': ("code-invalid", "Patient.gender"),
    '"link":[{"other":{"reference":"Patient/1"},"type":"x"}]': ("code-invalid", "Patient.link[0].type"),
}


@pytest.mark.parametrize("members", WRONG)
def test_what_looks_right_but_is_not_is_refused(members: str) -> None:
    """Each with its code and its place."""
    with pytest.raises(RulesBroken) as refused:
        R4.check(json.parse(f'{{"resourceType":"Patient",{members}}}'.encode()))
    (issue,) = refused.value.issues
    assert (issue.code, issue.expression) == (WRONG[members][0], (WRONG[members][1],))
    assert issue.diagnostics.startswith(f"{WRONG[members][1]}: ")


REFERENCES = {
    "Patient/1": True,
    "Patient/1/_history/2": True,
    "Patient/..": True,
    "Patient/1#x": True,
    "Patient/1/_history/2#x": True,
    "#": True,
    "#a": True,
    "http://example.org/fhir/Patient/1": True,
    "https://example.org/anything?x=y": True,
    "urn:uuid:C757873D-EC9A-4326-A141-556F43239520": True,
    "urn:oid:1.2.3": True,
    "Task/160.1/$accept?ac=abc": True,
    "c757873d-ec9a-4326-a141-556f43239520": True,
    "160.1": True,
    "X/_history/1": True,
    "Patient/a_b": True,
    "Patient/1?x=y": True,
    "Nonsense/1": True,
    "patient?x=y": True,
    "/Patient/1": True,
    "../Patient/1": True,
    "Patient": True,
    "Patient/1#": True,
    "Practitioner?identifier=http://hl7.org/fhir/sid/us-npi|9999948091": False,
    "Nonsense?identifier=1": False,
    "Patient?": False,
    "urn:uuid:c757873d": False,
    "urn:oid:": False,
    "#a b": False,
    "#a/b": False,
    "Patient/1#a b": False,
    "Patient/a b": False,
    "Patient/1\n": False,
    "http://": False,
    "http:// x": False,
    "http://a\u00a0b": False,
    "": False,
}


@pytest.mark.parametrize("reference", REFERENCES)
def test_the_syntax_of_references(reference: str) -> None:
    """Any URL, relative to the base or absolute, a whole URN, a fragment; no blanks, and nothing to be searched for."""
    patient: json.JsonObject = {"resourceType": "Patient", "generalPractitioner": [{"reference": reference}]}
    issues = R4.issues(patient)
    assert (not issues) is REFERENCES[reference]
    assert R4.accepts_at_once(patient) is REFERENCES[reference]
    if issues:
        assert issues[0].expression == ("Patient.generalPractitioner[0].reference",)


def test_all_errors_are_told_at_once() -> None:
    """In the order of the members; what is missing comes last."""
    body = b"""{"resourceType":"Observation","status":"bad","bogus":1,"valueString":"","valueInteger":1.5,
        "subject":{"reference":"x y"},"component":[{"valueString":"a"},{}]}"""
    issues = R4.issues(json.parse(body))
    assert [(issue.code, *issue.expression) for issue in issues] == [
        ("code-invalid", "Observation.status"),
        ("structure", "Observation.bogus"),
        ("value", "Observation.value"),
        ("value", "Observation.value"),
        ("value", "Observation.subject.reference"),
        ("required", "Observation.component[0].code"),
        ("structure", "Observation.component[1]"),
        ("required", "Observation.code"),
        ("structure", "Observation.value"),
    ]


def test_a_flood_of_errors_is_counted_not_listed() -> None:
    """A thousand are listed, the rest are a number."""
    body = b'{"resourceType":"Patient","name":[' + b",".join([b'{"x":1}'] * 5000) + b"]}"
    *listed, last = R4.issues(json.parse(body))
    assert len(listed) == MOST_ISSUES
    assert last.diagnostics == "4000 more issues were found"


def test_a_type_without_a_name_of_its_own_is_named() -> None:
    """A resource without type, or of none, is refused as such, wherever it is."""
    for body in (b'{"id":"x"}', b'{"resourceType":"Element"}', b'{"resourceType":["Patient"]}', b"{}"):
        (issue,) = R4.issues(json.parse(body))
        assert issue.expression == ("resourceType",)


def test_off_asks_nothing() -> None:
    """Whatever it is."""
    Validator(definitions("4.0"), "off").check({"resourceType": "Nonsense"})
    with pytest.raises(ValueError, match="off, structure, full"):
        Validator(definitions("4.0"), "strict")


def test_every_release_has_its_own_types() -> None:
    """What one release has, another has not."""
    citation: json.JsonObject = {"resourceType": "Citation", "status": "draft"}
    assert R4.issues(citation)
    assert not Validator(definitions("4.3")).issues(citation)
    request: json.JsonObject = {
        "resourceType": "MedicationRequest",
        "status": "active",
        "intent": "order",
        "subject": {"display": "x"},
    }
    r4: json.JsonObject = {**request, "medicationCodeableConcept": {"text": "x"}}
    r5: json.JsonObject = {**request, "medication": {"concept": {"text": "x"}}}
    assert (R4.issues(r4), Validator(definitions("5.0")).issues(r5)) == ((), ())
    assert R4.issues(r5)
    assert Validator(definitions("5.0")).issues(r4)


_CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
CONCEPTS = {
    f'{{"coding":[{{"system":"{_CLINICAL}","code":"active"}}]}}': True,
    f'{{"text":"x","coding":[{{"code":"x"}},{{"system":"{_CLINICAL}","code":"active"}}]}}': True,
    '{"extension":[{"url":"u","valueCode":"unknown"}]}': True,
    f'{{"coding":[{{"system":"{_CLINICAL}","code":"Active"}}]}}': False,
    '{"coding":[{"code":"active"}]}': False,
    '{"coding":[{"system":"http://example.org","code":"active"}]}': False,
    f'{{"coding":[{{"system":"{_CLINICAL}"}}]}}': False,
    '{"text":"active"}': False,
}


@pytest.mark.parametrize("concept", CONCEPTS)
def test_a_required_binding_of_a_concept_asks_for_one_of_its_codes(concept: str) -> None:
    """In any of its codings, system and all; a text alone does not do."""
    body = f'{{"resourceType":"Condition","subject":{{"display":"x"}},"clinicalStatus":{concept}}}'
    condition = json.parse(body.encode())
    issues = R4.issues(condition)
    assert R4.accepts_at_once(condition) is CONCEPTS[concept]
    assert [(issue.code, issue.expression) for issue in issues] == (
        [] if CONCEPTS[concept] else [("code-invalid", ("Condition.clinicalStatus",))]
    )
