"""What each part of the grammar means, on resources small enough to read."""

from __future__ import annotations

import pytest

from fhirstore.errors import InvalidExpression
from fhirstore.fhir import json
from fhirstore.fhir.definitions.facts import SearchParameter
from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.json import JsonObject, NumberLiteral
from fhirstore.fhir.search_parameters.getters import compiled, getter

R4 = definitions("4.0")


def values(type: str, expression: str, resource: JsonObject, *, base: tuple[str, ...] = ()) -> list[object]:
    """What a parameter with this expression sees."""
    parameter = SearchParameter("mine", "http://example.org/mine", "token", base or (type,), expression)
    return compiled(R4, type, parameter)({"resourceType": type, **resource})


def test_a_choice_is_narrowed_by_as() -> None:
    """`Observation.value as Quantity` reads valueQuantity, with its number as it was written."""
    observation = json.parse(b'{"resourceType":"Observation","valueQuantity":{"value":1.00}}')
    assert getter(R4, "Observation", "value-quantity")(observation) == [{"value": NumberLiteral(b"1.00")}]
    assert getter(R4, "Observation", "value-concept")(observation) == []
    assert values("Observation", "Observation.value.ofType(Quantity)", observation) == [observation["valueQuantity"]]
    assert values("Observation", "Observation.value", observation) == [observation["valueQuantity"]]
    assert values("Observation", "Observation.value as Age", observation) == []


def test_a_subtype_is_what_it_derives_from() -> None:
    """`as Quantity` takes an Age, `as uri` a canonical."""
    assert values("Condition", "Condition.onset as Quantity", {"onsetAge": {"unit": "a"}}) == [{"unit": "a"}]
    assert values("ConceptMap", "ConceptMap.source as uri", {"sourceCanonical": "u"}) == ["u"]
    assert values("ConceptMap", "ConceptMap.source as canonical", {"sourceUri": "u"}) == []


def test_lists_are_flattened_and_gaps_left_out() -> None:
    """A null that stands for a primitive with only extensions is no value."""
    patient: JsonObject = {"name": [{"given": ["A", None]}, {"given": ["B"]}, {"text": "C"}]}
    assert values("Patient", "Patient.name.given", patient) == ["A", "B"]
    assert values("Patient", "Patient.name[1].given", patient) == ["B"]
    assert values("Patient", "Patient.name.given.first()", patient) == ["A"]
    assert values("Patient", "name.given | Patient.name.text", patient) == ["A", "B", "C"]


@pytest.mark.parametrize(
    ("content", "dead"), [({}, [False]), ({"deceasedBoolean": False}, [False]), ({"deceasedBoolean": True}, [True]),
                          ({"deceasedDateTime": "2012"}, [True])]
)  # fmt: skip
def test_deceased_is_a_condition(content: JsonObject, dead: list[object]) -> None:
    """`Patient.deceased.exists() and Patient.deceased != false` has a value for everyone."""
    assert getter(R4, "Patient", "deceased")({"resourceType": "Patient", **content}) == dead


def test_where_keeps_what_fits() -> None:
    """By a string, by an extension, by a choice, by a repeating element."""
    patient: JsonObject = {
        "telecom": [{"system": "phone", "value": "1"}, {"system": "email", "value": "2"}, {"value": "3"}],
        "extension": [{"url": "a", "valueString": "x"}, {"url": "b", "valueCode": "y"}, {"url": "a"}],
    }
    assert values("Patient", "Patient.telecom.where(system = 'email').value", patient) == ["2"]
    assert values("Patient", "Patient.telecom.where(system.exists() and system != 'fax').value", patient) == ["1", "2"]
    assert values("Patient", "Patient.extension('a').value", patient) == ["x"]
    assert values("Patient", "Patient.extension.where(value = 'y').url", patient) == ["b"]
    assert values("Patient", "Patient.where(hasExtension('b')).telecom[0].value", patient) == ["1"]
    assert values("Patient", "Patient.where(hasExtension('c')).telecom", patient) == []
    names: JsonObject = {"name": [{"given": ["A"], "family": "F"}, {"given": ["A", "B"], "family": "G"}]}
    assert values("Patient", "Patient.name.where(given = 'A').family", names) == ["F"]


@pytest.mark.parametrize(
    ("reference", "is_patient"),
    [
        ({"reference": "Patient/p"}, True),
        ({"reference": "Patient/p/_history/2"}, True),
        ({"reference": "https://example.org/r4/Patient/p"}, True),
        ({"reference": "Group/p"}, False),
        ({"reference": "Group/p", "type": "Patient"}, False),
        ({"reference": "#c"}, True),
        ({"reference": "#g"}, False),
        ({"reference": "#nothing"}, False),
        ({"reference": "#"}, False),
        ({"reference": "urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7", "type": "Patient"}, True),
        ({"reference": "urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7"}, False),
        ({"type": "Patient", "identifier": {"value": "1"}}, True),
        ({"display": "somebody"}, False),
        ("nonsense", False),
        (7, False),
    ],
)
def test_what_a_reference_resolves_to_is_told_by_the_reference(reference: object, is_patient: bool) -> None:
    """Its text, Reference.type, or what is contained; the target is not read."""
    observation: JsonObject = {
        "resourceType": "Observation",
        "contained": [{"resourceType": "Patient", "id": "c"}, {"resourceType": "Group", "id": "g"}],
        "subject": reference,
    }
    assert getter(R4, "Observation", "patient")(observation) == ([reference] if is_patient else [])


def test_where_only_one_type_is_allowed_a_reference_needs_no_type() -> None:
    """A urn that can only be a Patient is one."""
    urn: JsonObject = {"reference": "urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7"}
    assert values("Coverage", "Coverage.beneficiary.where(resolve() is Patient)", {"beneficiary": urn}) == [urn]


def test_resources_inside_resources_are_told_by_their_type() -> None:
    """`Bundle.entry[0].resource as Composition`, and elements of any resource below it."""
    entry: JsonObject = {"resource": {"resourceType": "Composition", "title": "T", "date": "2020"}}
    bundle: JsonObject = {"entry": [entry, {"resource": {"resourceType": "Patient", "deceasedBoolean": True}}]}
    assert values("Bundle", "Bundle.entry[0].resource as Composition", bundle) == [entry["resource"]]
    assert values("Bundle", "Bundle.entry[0].resource as MessageHeader", bundle) == []
    assert values("Bundle", "Bundle.entry.resource.ofType(DomainResource).title", bundle) == ["T"]
    assert values("Bundle", "Bundle.entry.resource.deceased", bundle) == [True]


def test_branches_for_other_types_see_nothing() -> None:
    """An expression may list paths of many types, and paths without a type that only some of its types have."""
    expression = "Flag.period | (start | requestedPeriod.start).first()"
    assert values("Appointment", expression, {"start": "s"}, base=("Appointment", "Flag")) == ["s"]
    assert values("Flag", expression, {"start": "s", "period": {}}, base=("Appointment", "Flag")) == [{}]


@pytest.mark.parametrize("content", [{"name": "x"}, {"name": [1, ["y"], {"given": {"a": 1}}]}, {"name": {"given": 5}}])
def test_content_of_the_wrong_shape_does_no_harm(content: JsonObject) -> None:
    """What is stored unvalidated leads to values or to nothing, never to an exception."""
    values("Patient", "Patient.name.given | Patient.name.where(use = 'x').family | Patient.name.period.start", content)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("Patient.nmae", "no element named nmae"),
        ("nmae", "no element named nmae"),
        ("Patient.name.given.x", "no element named x"),
        ("Patient.name.as(Nmae)", "Nmae is not a FHIR type"),
        ("Patient.name.where(resolve() is Nmae)", "Nmae is not a resource type"),
        ("Patient.name.trace('x')", r"not supported in a search parameter: Patient.name.trace\('x'\)"),
        ("Patient.name + 1", "not supported in a search parameter"),
        ("Patient.name[$index]", "not supported in a search parameter"),
        ("Patient.name.", "Not FHIRPath at character 14"),
    ],
)
def test_an_expression_beyond_the_grammar_is_a_clear_error(expression: str, message: str) -> None:
    """It names the parameter, the expression and the part that is the matter."""
    with pytest.raises(InvalidExpression, match=message) as raised:
        values("Patient", expression, {})
    assert expression in str(raised.value)
    assert "The search parameter mine" in str(raised.value)
