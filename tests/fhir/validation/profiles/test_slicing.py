"""Slices are told apart by their discriminators; what these do not tell is said."""

from __future__ import annotations

from fhirstore.fhir.json import JsonObject
from tests.fhir.validation.profiles.examples import CANONICAL, check, errors, profile


def _sliced(kind: str, path: str, rules: str = "open", *, ordered: bool = False) -> JsonObject:
    return {"discriminator": [{"type": kind, "path": path}], "rules": rules, "ordered": ordered}


def _identifiers(rules: str = "open", *, ordered: bool = False) -> JsonObject:
    return profile(
        "identified",
        "Patient",
        {"path": "Patient.identifier", "slicing": _sliced("value", "system", rules, ordered=ordered)},
        {"path": "Patient.identifier", "sliceName": "mrn", "min": 1, "max": "1"},
        {"path": "Patient.identifier.system", "min": 1, "fixedUri": "urn:mrn"},
        {"path": "Patient.identifier.value", "min": 1},
        {"path": "Patient.identifier", "sliceName": "ssn", "max": "1"},
        {"path": "Patient.identifier.system", "fixedUri": "urn:ssn"},
    )


def _patient(*systems: str) -> JsonObject:
    return {"resourceType": "Patient", "identifier": [{"system": system, "value": "1"} for system in systems]}


def test_slices_are_counted_each() -> None:
    """One mrn must be there, two must not; others may be."""
    assert errors(_patient("urn:x", "urn:mrn", "urn:ssn"), _identifiers()) == []
    assert errors(_patient("urn:ssn"), _identifiers()) == [("required", "Patient.identifier")]
    assert errors(_patient("urn:mrn", "urn:mrn"), _identifiers()) == [("structure", "Patient.identifier")]


def test_the_rules_of_a_slice_are_for_its_items() -> None:
    """A value is asked of the mrn, not of the ssn."""
    patient: JsonObject = {"resourceType": "Patient", "identifier": [{"system": "urn:ssn"}, {"system": "urn:mrn"}]}
    assert errors(patient, _identifiers()) == [("required", "Patient.identifier[1].value")]


def test_closed_slicing_lets_nothing_else_in() -> None:
    """An identifier of no slice is an error."""
    assert errors(_patient("urn:mrn", "urn:x"), _identifiers("closed")) == [("structure", "Patient.identifier[1]")]


def test_slices_may_have_to_be_in_order_and_others_at_the_end() -> None:
    """ordered, and openAtEnd."""
    assert errors(_patient("urn:mrn", "urn:ssn"), _identifiers(ordered=True)) == []
    assert errors(_patient("urn:ssn", "urn:mrn"), _identifiers(ordered=True)) == [
        ("structure", "Patient.identifier[1]")
    ]
    assert errors(_patient("urn:mrn", "urn:x"), _identifiers("openAtEnd")) == []
    assert errors(_patient("urn:x", "urn:mrn"), _identifiers("openAtEnd")) == [("structure", "Patient.identifier[1]")]


def test_a_pattern_tells_slices_apart() -> None:
    """Observation.component by its code, as blood pressure has it: the pattern stands above the path, too."""

    def coded(code: str) -> JsonObject:
        return {"coding": [{"system": "http://loinc.org", "code": code}]}

    for path in ("code", "code.coding.code"):
        pressure = profile(
            "pressure",
            "Observation",
            {"path": "Observation.component", "slicing": _sliced("pattern", path)},
            {"path": "Observation.component", "sliceName": "systolic", "min": 1},
            {"path": "Observation.component.code", "patternCodeableConcept": coded("8480-6")},
            {"path": "Observation.component.value[x]", "min": 1, "type": [{"code": "Quantity"}]},
        )
        good = {"code": coded("8480-6") | {"text": "a"}, "valueQuantity": {"value": 1}}
        bad = {"code": coded("8480-6"), "valueString": "a"}
        assert errors({"resourceType": "Observation", "component": [{"code": coded("x")}, good]}, pressure) == []
        assert errors({"resourceType": "Observation", "component": [bad]}, pressure) == [
            ("structure", "Observation.component[0].value")
        ]
        assert errors({"resourceType": "Observation", "component": [{"code": coded("x")}]}, pressure) == [
            ("required", "Observation.component")
        ]


def test_extensions_are_told_by_their_url_without_saying_so() -> None:
    """The extension's own definition is checked as well."""
    colour = profile(
        "colour",
        "Extension",
        {"path": "Extension.url", "fixedUri": f"{CANONICAL}/colour"},
        {"path": "Extension.value[x]", "min": 1, "type": [{"code": "code"}]},
    )
    element: JsonObject = {
        "path": "Patient.extension",
        "sliceName": "colour",
        "min": 1,
        "type": [{"code": "Extension", "profile": [colour["url"]]}],
    }
    coloured = profile("coloured", "Patient", element)

    def patient(**value: object) -> JsonObject:
        return {"resourceType": "Patient", "extension": [{"url": "urn:x"}, {"url": f"{CANONICAL}/colour", **value}]}

    assert errors(patient(valueCode="red"), coloured, colour) == []
    assert errors(patient(valueString="red"), coloured, colour) == [("structure", "Patient.extension[1].value")]
    assert errors({"resourceType": "Patient"}, coloured, colour) == [("required", "Patient.extension")]
    findings = check(patient(valueString="red"), coloured)
    assert findings.issues == ()
    assert findings.unchecked == {f"profile {CANONICAL}/colour, which is not stored here"}


def test_choices_are_told_by_their_type() -> None:
    """value[x] with a slice for Quantity."""
    measured = profile(
        "measured",
        "Observation",
        {"path": "Observation.value[x]", "slicing": _sliced("type", "$this", "closed")},
        {"path": "Observation.value[x]", "sliceName": "valueQuantity", "type": [{"code": "Quantity"}]},
        {"path": "Observation.value[x].unit", "min": 1},
    )
    assert errors({"resourceType": "Observation", "valueQuantity": {"unit": "kg"}}, measured) == []
    assert errors({"resourceType": "Observation", "valueQuantity": {"value": 1}}, measured) == [
        ("required", "Observation.value.unit")
    ]
    assert errors({"resourceType": "Observation", "valueString": "a"}, measured) == [("structure", "Observation.value")]


def test_entries_are_told_by_the_type_of_their_resource() -> None:
    """A document whose first slice is its Composition; references by the type of their target."""
    document = profile(
        "document",
        "Bundle",
        {"path": "Bundle.entry", "slicing": _sliced("type", "resource")},
        {"path": "Bundle.entry", "sliceName": "composition", "min": 1, "max": "1"},
        {"path": "Bundle.entry.resource", "type": [{"code": "Composition"}]},
    )

    def bundle(*types: str) -> JsonObject:
        return {"resourceType": "Bundle", "entry": [{"resource": {"resourceType": type_}} for type_ in types]}

    assert errors(bundle("Composition", "Patient"), document) == []
    assert errors(bundle("Patient"), document) == [("required", "Bundle.entry")]
    team: JsonObject = {"path": "Observation.performer", "slicing": _sliced("type", "$this.resolve()")}
    target = "http://hl7.org/fhir/StructureDefinition/Practitioner"
    seen = profile(
        "seen",
        "Observation",
        team | {"slicing": _sliced("type", "resolve()")},
        {
            "path": "Observation.performer",
            "sliceName": "doctor",
            "min": 1,
            "type": [{"code": "Reference", "targetProfile": [target]}],
        },
    )
    by: JsonObject = {
        "resourceType": "Observation",
        "performer": [{"reference": "Practitioner/1"}, {"reference": "Patient/1"}],
    }
    assert errors(by, seen) == []
    assert errors({"resourceType": "Observation", "performer": [{"reference": "Patient/1"}]}, seen) == [
        ("required", "Observation.performer")
    ]


def test_existence_tells_slices_apart() -> None:
    """A telecom with a rank, and one without."""
    ranked = profile(
        "ranked",
        "Patient",
        {"path": "Patient.telecom", "slicing": _sliced("exists", "rank")},
        {"path": "Patient.telecom", "sliceName": "first", "max": "1"},
        {"path": "Patient.telecom.rank", "min": 1},
    )
    telecom = [{"value": "1"}, {"value": "2"}, {"value": "3", "rank": 1}]
    assert errors({"resourceType": "Patient", "telecom": telecom}, ranked) == []
    assert errors({"resourceType": "Patient", "telecom": [{"rank": 1}, {"rank": 2}]}, ranked) == [
        ("structure", "Patient.telecom")
    ]


def test_what_cannot_be_told_apart_is_said() -> None:
    """Discriminators by profile, by position and beyond a reference, and slices that say nothing at the path."""
    for kind, path in (
        ("profile", "resource"),
        ("position", "$this"),
        ("value", "resource.resolve().id"),
        ("value", "fullUrl"),
    ):
        vague = profile(
            "vague",
            "Bundle",
            {"path": "Bundle.entry", "slicing": _sliced(kind, path)},
            {"path": "Bundle.entry", "sliceName": "a", "min": 1},
        )
        findings = check({"resourceType": "Bundle"}, vague)
        assert findings.issues == ()
        assert findings.unchecked == {"slices of entry (a)"}
