"""A profile's cardinalities, types, fixed and pattern values, bindings and invariants are checked."""

from __future__ import annotations

import pytest

from fhirstore.fhir import json
from fhirstore.fhir.json import JsonObject
from tests.fhir.validation.profiles.examples import CANONICAL, check, errors, profile

NAMED = profile(
    "named", "Patient", {"path": "Patient.name", "min": 1, "max": "1"}, {"path": "Patient.photo", "max": "0"}
)


def _patient(**members: object) -> JsonObject:
    return {"resourceType": "Patient", **members}


@pytest.mark.parametrize(
    ("patient", "expected"),
    [
        (_patient(name=[{"family": "A"}]), []),
        (_patient(), [("required", "Patient.name")]),
        (_patient(name=[{"family": "A"}, {"family": "B"}]), [("structure", "Patient.name")]),
        (_patient(name=[{"family": "A"}], photo=[{"title": "a"}]), [("structure", "Patient.photo")]),
    ],
)
def test_cardinality(patient: JsonObject, expected: list[tuple[str, str]]) -> None:
    """min and max count what is there."""
    assert errors(patient, NAMED) == expected


def test_a_child_s_minimum_holds_where_its_parent_is() -> None:
    """`name.family` 1..1 asks for a family in each name, and for no name."""
    family = profile("family", "Patient", {"path": "Patient.name.family", "min": 1})
    assert errors(_patient(), family) == []
    given = {"given": ["B"]}
    assert errors(_patient(name=[{"family": "A"}, given]), family) == [("required", "Patient.name[1].family")]


def test_a_primitive_with_extensions_only_counts() -> None:
    """`_birthDate` alone is a birth date, though one without a value."""
    born = profile("born", "Patient", {"path": "Patient.birthDate", "min": 1})
    extension = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}
    assert errors(_patient(_birthDate={"extension": [extension]}), born) == []
    given = profile("given", "Patient", {"path": "Patient.name.given", "max": "1"})
    padded = {"given": [None, "B"], "_given": [{"extension": [extension]}, None]}
    assert errors(_patient(name=[padded]), given) == [("structure", "Patient.name[0].given")]


@pytest.mark.parametrize(
    ("name", "value", "good", "bad"),
    [
        ("fixedCode", "male", "male", "female"),
        ("fixedBoolean", True, True, 1),
    ],
)
def test_a_fixed_primitive_is_that_value(name: str, value: object, good: object, bad: object) -> None:
    """Of the same kind, too."""
    fixed = profile("fixed", "Patient", {"path": "Patient.gender", name: value})
    assert errors(_patient(gender=good), fixed) == []
    assert errors(_patient(gender=bad), fixed) == [("value", "Patient.gender")]
    assert errors(_patient(), fixed) == []


def test_a_fixed_value_is_whole_and_a_pattern_is_the_least() -> None:
    """The pattern's coding may stand among others and have a display; the fixed one may not."""
    coding = {"system": "urn:a", "code": "1"}
    whole = profile("whole", "Patient", {"path": "Patient.maritalStatus", "fixedCodeableConcept": {"coding": [coding]}})
    least = profile(
        "least", "Patient", {"path": "Patient.maritalStatus", "patternCodeableConcept": {"coding": [coding]}}
    )
    exact = _patient(maritalStatus={"coding": [coding]})
    more = _patient(maritalStatus={"coding": [{"code": "2"}, coding | {"display": "One"}], "text": "one"})
    other = _patient(maritalStatus={"coding": [{"system": "urn:a", "code": "2"}, {"code": "1"}]})
    assert errors(exact, whole) == errors(exact, least) == errors(more, least) == []
    assert errors(more, whole) == [("value", "Patient.maritalStatus")]
    assert errors(other, least) == [("value", "Patient.maritalStatus")]


def test_a_choice_may_be_narrowed() -> None:
    """value[x] as a Quantity only, with a fixed unit; deceased[x] named by its type."""
    quantity = profile(
        "quantity",
        "Observation",
        {"path": "Observation.value[x]", "min": 1, "type": [{"code": "Quantity"}]},
        {"path": "Observation.value[x].code", "min": 1, "fixedCode": "kg"},
    )
    assert errors({"resourceType": "Observation", "valueQuantity": {"value": 1, "code": "kg"}}, quantity) == []
    assert errors({"resourceType": "Observation", "valueString": "a"}, quantity) == [("structure", "Observation.value")]
    assert errors({"resourceType": "Observation"}, quantity) == [("required", "Observation.value")]
    grams: JsonObject = {"resourceType": "Observation", "valueQuantity": {"value": 1, "code": "g"}}
    assert errors(grams, quantity) == [("value", "Observation.value.code")]
    alive = profile("alive", "Patient", {"path": "Patient.deceasedBoolean", "fixedBoolean": False})
    assert errors(_patient(deceasedBoolean=True), alive) == [("value", "Patient.deceased")]


def test_a_known_value_set_binds() -> None:
    """A value set of the base specification needs no lookup; a CodeableConcept needs one coding of it."""
    url = "http://hl7.org/fhir/ValueSet/administrative-gender"
    element: JsonObject = {"path": "Patient.maritalStatus", "binding": {"strength": "required", "valueSet": url}}
    bound = profile("bound", "Patient", element)
    good = {"coding": [{"code": "x"}, {"system": "http://hl7.org/fhir/administrative-gender", "code": "male"}]}
    assert errors(_patient(maritalStatus=good), bound) == []
    assert errors(_patient(maritalStatus={"coding": [{"system": "urn:a", "code": "male"}]}), bound) == [
        ("code-invalid", "Patient.maritalStatus")
    ]


def test_a_stored_value_set_binds_and_an_unknown_one_is_said() -> None:
    """The value set, and the code system that it includes whole, are looked up."""
    element: JsonObject = {
        "path": "Patient.maritalStatus",
        "binding": {"strength": "required", "valueSet": "http://example.org/ValueSet/states|1"},
    }
    bound = profile("bound", "Patient", element)
    value_set: JsonObject = {
        "resourceType": "ValueSet",
        "id": "states",
        "url": "http://example.org/ValueSet/states",
        "version": "1",
        "compose": {"include": [{"system": "http://example.org/CodeSystem/state"}]},
    }
    codes: JsonObject = {
        "resourceType": "CodeSystem",
        "id": "state",
        "url": "http://example.org/CodeSystem/state",
        "content": "complete",
        "concept": [{"code": "a", "concept": [{"code": "b"}]}],
    }
    good = _patient(maritalStatus={"coding": [{"system": "http://example.org/CodeSystem/state", "code": "b"}]})
    bad = _patient(maritalStatus={"text": "b"})
    assert errors(good, bound, value_set, codes) == []
    assert errors(bad, bound, value_set, codes) == [("code-invalid", "Patient.maritalStatus")]
    for stored in ([], [value_set], [value_set | {"version": "2"}, codes]):
        findings = check(bad, bound, *stored)
        assert findings.issues == ()
        assert [what for what in findings.unchecked if "ValueSet/states" in what]


def test_references_may_be_narrowed() -> None:
    """Only a Patient as the subject; that it conforms to a profile itself is not checked, and said."""
    targets: JsonObject = {
        "path": "Observation.subject",
        "type": [{"code": "Reference", "targetProfile": [f"{CANONICAL}/named"]}],
    }
    of_named = profile("of-named", "Observation", targets)
    group: JsonObject = {"resourceType": "Observation", "subject": {"reference": "Group/1"}}
    assert [issue.code for issue in check(group, of_named).issues] == []
    core: JsonObject = {
        "path": "Observation.subject",
        "type": [{"code": "Reference", "targetProfile": ["http://hl7.org/fhir/StructureDefinition/Patient"]}],
    }
    assert errors(group, profile("of-patient", "Observation", core)) == [("structure", "Observation.subject")]
    assert "whether references point at" in str(check(group, of_named).unchecked)


def test_an_invariant_of_the_profile_is_evaluated() -> None:
    """At the element that has it; the base's own are left to the check of the base."""
    rule = {
        "key": "ex-1",
        "severity": "error",
        "human": "A family or a text",
        "expression": "family.exists() or text.exists()",
    }
    known = {"key": "pat-1", "severity": "error", "human": "", "expression": "false"}
    strict = profile("strict", "Patient", {"path": "Patient.name", "constraint": [rule, known]})
    assert errors(_patient(name=[{"text": "a"}, {"given": ["a"]}]), strict) == [("invariant", "Patient.name[1]")]


def test_lengths_are_checked_and_ranges_are_said_not_to_be() -> None:
    """maxLength counts characters; minValue is not compared."""
    short = profile("short", "Patient", {"path": "Patient.name.family", "maxLength": 3})
    assert errors(_patient(name=[{"family": "Abcd"}]), short) == [("too-long", "Patient.name[0].family")]
    late = profile("late", "Patient", {"path": "Patient.birthDate", "minValueDate": "1900-01-01"})
    assert check(_patient(birthDate="1800-01-01"), late).unchecked == {"minValue at birthDate"}


def test_a_profile_of_another_type_does_not_fit() -> None:
    """It says so, once."""
    assert errors({"resourceType": "Observation"}, NAMED) == [("structure", "Observation")]


def test_a_differential_is_laid_over_its_base() -> None:
    """The base profile, stored as well, is asked too; one that is not stored is said."""
    derived = profile("derived", "Patient", {"path": "Patient.gender", "min": 1}, base=f"{CANONICAL}/named")
    assert errors(_patient(), derived, NAMED) == [("required", "Patient.gender"), ("required", "Patient.name")]
    findings = check(_patient(), derived)
    assert [issue.expression for issue in findings.issues] == [("Patient.gender",)]
    assert findings.unchecked == {f"profile {CANONICAL}/named, which is not stored here"}


def test_a_snapshot_is_complete() -> None:
    """Then the base is not asked for."""
    whole = profile(
        "whole", "Patient", {"path": "Patient"}, {"path": "Patient.gender", "min": 1}, base="urn:gone", snapshot=True
    )
    assert errors(_patient(), whole) == [("required", "Patient.gender")]


def test_a_datatype_has_profiles_too() -> None:
    """A type's profile is checked where the type occurs."""
    weight = profile("weight", "Quantity", {"path": "Quantity.code", "min": 1, "patternCode": "kg"})
    element: JsonObject = {"path": "Observation.value[x]", "type": [{"code": "Quantity", "profile": [weight["url"]]}]}
    weighed = profile("weighed", "Observation", element)
    assert errors({"resourceType": "Observation", "valueQuantity": {"code": "kg"}}, weighed, weight) == []
    assert errors({"resourceType": "Observation", "valueQuantity": {"code": "g"}}, weighed, weight) == [
        ("value", "Observation.value.code")
    ]


def test_a_profile_that_goes_round_in_circles_ends() -> None:
    """An extension may hold itself, a profile may name itself as its base."""
    circle = profile("circle", "Patient", base=f"{CANONICAL}/circle")
    assert check(_patient(), circle).issues == ()


def test_decimals_are_compared_by_value() -> None:
    """1.0 and 1.00 are the same number to a profile."""
    one = profile("one", "Observation", {"path": "Observation.value[x].value", "fixedDecimal": 1})
    text = b'{"resourceType":"Observation","valueQuantity":{"value":%s}}'
    assert errors(json.parse(text % b"1.00"), one) == []
    assert errors(json.parse(text % b"1.01"), one) == [("value", "Observation.value.value")]


def test_profiles_that_name_each_other_take_no_time() -> None:
    """Each profile is checked once at a place, however many ways lead to it."""
    urls = [f"{CANONICAL}/p{index}" for index in range(30)]
    rule: JsonObject = {"key": "ex-1", "severity": "error", "human": "No", "expression": "false"}
    element: JsonObject = {
        "path": "Patient.name",
        "type": [{"code": "HumanName", "profile": urls}],
        "constraint": [rule],
    }
    whole: JsonObject = {"path": "HumanName", "type": [{"code": "HumanName", "profile": urls}], "constraint": [rule]}
    others = [profile(f"p{index}", "HumanName", whole) for index in range(30)]
    assert ("invariant", "Patient.name[0]") in errors(
        _patient(name=[{"text": "a"}]), profile("all", "Patient", element), *others
    )
