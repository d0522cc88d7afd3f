"""FHIRPath Patch does what the page says: https://hl7.org/fhir/R4/fhirpatch.html."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from fhirstore.errors import ContentTooLarge, MalformedContent, PatchFailed
from fhirstore.fhir import json
from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.patch import FhirPathPatch

R4 = definitions("4.0")

PATIENT = (
    b'{"resourceType":"Patient","id":"p","active":true,"name":[{"use":"official","family":"A","given":["B","C"]},'
    b'{"use":"usual","given":["D"]}],"birthDate":"2000-01-01","_birthDate":{"id":"b","extension":[{"url":"u",'
    b'"valueDecimal":1.00}]},"deceasedBoolean":false,"identifier":[{"value":"1"},{"value":"2"},{"value":"3"}],'
    b'"contact":[{"gender":"male","name":{"text":"E"}}],"maritalStatus":{"text":"S"}}'
)

Part = Mapping[str, object]


def operation(type: str, path: str, *parts: Part, **values: object) -> Part:
    """One operation. `values`: parts by name; an int is an index, a string a name, a mapping the value[x] it holds."""
    named = [
        {"name": name, **(value if isinstance(value, Mapping) else _typed(value))} for name, value in values.items()
    ]
    given = [{"name": "type", "valueCode": type}, {"name": "path", "valueString": path}, *named, *parts]
    return {"name": "operation", "part": given}


def _typed(value: object) -> Part:
    return {"valueInteger": value} if isinstance(value, int) else {"valueString": value}


def patched(document: bytes, *operations: Part) -> dict[str, object]:
    """What the operations make of the document, which stays as it was."""
    resource = json.parse(document)
    patch = FhirPathPatch.parse({"resourceType": "Parameters", "parameter": operations})
    result = patch.apply(resource, R4)
    assert resource == json.parse(document)
    assert patch.apply(resource, R4) == result
    return result


def changed(result: Mapping[str, object]) -> dict[str, object]:
    """The members that differ from those of the patient; None for one that is gone."""
    before = json.parse(PATIENT)
    return {name: result.get(name) for name in {**before, **result} if before.get(name) != result.get(name)}


# --- add ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "name", "value", "change"),
    [
        ("Patient", "gender", {"valueCode": "male"}, {"gender": "male"}),
        ("Patient", "language", {"valueString": "en"}, {"language": "en"}),
        ("Patient", "telecom", {"valueContactPoint": {"value": "5"}}, {"telecom": [{"value": "5"}]}),
        ("Patient", "multipleBirth", {"valueInteger": 2}, {"multipleBirthInteger": 2}),
        ("Patient", "multipleBirthBoolean", {"valueBoolean": True}, {"multipleBirthBoolean": True}),
        (
            "Patient.maritalStatus",
            "coding",
            {"valueCoding": {"code": "S"}},
            {"maritalStatus": {"text": "S", "coding": [{"code": "S"}]}},
        ),
        ("maritalStatus", "id", {"valueString": "m"}, {"maritalStatus": {"text": "S", "id": "m"}}),
        ("Patient.active", "extension", {"valueExtension": {"url": "e"}}, {"_active": {"extension": [{"url": "e"}]}}),
        (
            "Patient",
            "contained",
            {"resource": {"resourceType": "Group", "id": "g"}},
            {"contained": [{"resourceType": "Group", "id": "g"}]},
        ),
        (
            "Patient",
            "contact",
            {
                "part": [
                    {"name": "relationship", "valueCodeableConcept": {"text": "x"}},
                    {"name": "relationship", "valueCodeableConcept": {"text": "y"}},
                    {"name": "name", "valueHumanName": {"text": "F"}},
                    {"name": "gender", "_valueCode": {"id": "g"}},
                ]
            },
            {
                "contact": [
                    {"gender": "male", "name": {"text": "E"}},
                    {"relationship": [{"text": "x"}, {"text": "y"}], "name": {"text": "F"}, "_gender": {"id": "g"}},
                ]
            },
        ),
    ],
)
def test_add(path: str, name: str, value: Part, change: Part) -> None:
    """Appends to what repeats; makes what is not there; a choice gets the type of the value."""
    assert changed(patched(PATIENT, operation("add", path, name=name, value=value))) == change


def test_add_keeps_values_and_what_is_beside_them_in_step() -> None:
    """A name added without extensions, or with nothing else, makes a null in the other array."""
    document = b'{"resourceType":"Patient","name":[{"given":["A"],"_given":[{"id":"a"}]}]}'
    result = patched(
        document,
        operation("add", "Patient.name", name="given", value={"valueString": "B"}),
        operation("add", "Patient.name", name="given", value={"_valueString": {"id": "c"}}),
    )
    assert result["name"] == [{"given": ["A", "B", None], "_given": [{"id": "a"}, None, {"id": "c"}]}]


def test_parts_may_nest() -> None:
    """A backbone element within one, by parts of parts."""
    value: Part = {
        "part": [
            {"name": "sequence", "valuePositiveInt": 1},
            {"name": "detail", "part": [{"name": "sequence", "valuePositiveInt": 2}]},
        ]
    }
    result = patched(b'{"resourceType":"Claim"}', operation("add", "Claim", name="item", value=value))
    assert result["item"] == [{"sequence": 1, "detail": [{"sequence": 2}]}]


# --- insert, move ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("index", "order"), [(0, "4123"), (1, "1423"), (3, "1234")])
def test_insert(index: int, order: str) -> None:
    """At the index; the one after the last appends."""
    value = {"valueIdentifier": {"value": "4"}}
    result = patched(PATIENT, operation("insert", "Patient.identifier", index=index, value=value))
    assert result["identifier"] == [{"value": number} for number in order]


def test_insert_into_an_empty_list() -> None:
    """Where there is none yet, at 0."""
    value = {"valueContactPoint": {"value": "5"}}
    assert patched(PATIENT, operation("insert", "telecom", index=0, value=value))["telecom"] == [{"value": "5"}]


@pytest.mark.parametrize(
    ("source", "destination", "order"), [(0, 2, "231"), (2, 0, "312"), (1, 1, "123"), (0, 1, "213")]
)
def test_move(source: int, destination: int, order: str) -> None:
    """The destination counts in the list without what moves."""
    result = patched(PATIENT, operation("move", "Patient.identifier", source=source, destination=destination))
    assert result["identifier"] == [{"value": number} for number in order]


def test_move_takes_extensions_along() -> None:
    """The arrays of values and of what is beside them stay in step."""
    document = b'{"resourceType":"Patient","name":[{"given":["A","B"],"_given":[{"id":"a"},null]}]}'
    result = patched(document, operation("move", "Patient.name[0].given", source=0, destination=1))
    assert result["name"] == [{"given": ["B", "A"], "_given": [None, {"id": "a"}]}]


# --- delete ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("Patient.active", {"active": None}),
        ("Patient.birthDate", {"birthDate": None, "_birthDate": None}),
        (
            "Patient.birthDate.id",
            {"_birthDate": {"extension": [{"url": "u", "valueDecimal": json.NumberLiteral("1.00")}]}},
        ),
        ("Patient.birthDate.extension('u')", {"_birthDate": {"id": "b"}}),
        ("Patient.deceased", {"deceasedBoolean": None}),
        ("Patient.identifier[1]", {"identifier": [{"value": "1"}, {"value": "3"}]}),
        ("Patient.identifier.where(value = '2')", {"identifier": [{"value": "1"}, {"value": "3"}]}),
        (
            "Patient.name.where(use = 'usual').given",
            {"name": [{"use": "official", "family": "A", "given": ["B", "C"]}, {"use": "usual"}]},
        ),
        ("Patient.maritalStatus.text", {"maritalStatus": None}),
        ("Patient.gender", {}),
        ("Patient.name[7].given[0]", {}),
        ("Patient.photo.where(title = 'x')", {}),
    ],
)
def test_delete(path: str, change: Part) -> None:
    """The element with its extensions, and what is left without content above it; it may be gone already."""
    assert changed(patched(PATIENT, operation("delete", path))) == change


# --- replace --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "value", "change"),
    [
        ("Patient.active", {"valueBoolean": False}, {"active": False}),
        ("Patient.birthDate", {"valueDate": "1999"}, {"birthDate": "1999", "_birthDate": None}),
        ("Patient.birthDate", {"_valueDate": {"id": "x"}}, {"birthDate": None, "_birthDate": {"id": "x"}}),
        ("Patient.deceased", {"valueBoolean": True}, {"deceasedBoolean": True}),
        ("Patient.deceased", {"valueDateTime": "2020"}, {"deceasedBoolean": None, "deceasedDateTime": "2020"}),
        (
            "Patient.contact[0].gender",
            {"valueCode": "other"},
            {"contact": [{"gender": "other", "name": {"text": "E"}}]},
        ),
        (
            "Patient.contact.name",
            {"valueHumanName": {"family": "G"}},
            {"contact": [{"gender": "male", "name": {"family": "G"}}]},
        ),
        ("Patient.contact", {"part": [{"name": "gender", "valueCode": "other"}]}, {"contact": [{"gender": "other"}]}),
        (
            "Patient.identifier.last()",
            {"valueIdentifier": {"value": "4"}},
            {"identifier": [{"value": "1"}, {"value": "2"}, {"value": "4"}]},
        ),
        (
            "Patient.identifier.where(value = '2' or value = '0').value",
            {"valueString": "4"},
            {"identifier": [{"value": "1"}, {"value": "4"}, {"value": "3"}]},
        ),
        (
            "Patient.birthDate.extension('u').value",
            {"valueDecimal": 2},
            {"_birthDate": {"id": "b", "extension": [{"url": "u", "valueDecimal": 2}]}},
        ),
        (
            "Patient.birthDate.extension.value.ofType(decimal)",
            {"valueCode": "c"},
            {"_birthDate": {"id": "b", "extension": [{"url": "u", "valueCode": "c"}]}},
        ),
    ],
)
def test_replace(path: str, value: Part, change: Part) -> None:
    """One element, with its extensions, by the value; a choice may get another type."""
    assert changed(patched(PATIENT, operation("replace", path, value=value))) == change


def test_replace_the_narrative() -> None:
    """xhtml is given as a string."""
    document = b'{"resourceType":"Patient","text":{"status":"generated","div":"<div>a</div>"}}'
    result = patched(document, operation("replace", "Patient.text.div", value={"valueString": "<div>b</div>"}))
    assert result["text"] == {"status": "generated", "div": "<div>b</div>"}


def test_elements_of_resources_within_are_known_by_their_type() -> None:
    """A contained resource, an entry of a Bundle."""
    document = b'{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Patient","deceasedBoolean":true}}]}'
    path = "Bundle.entry.resource.ofType(Patient).deceased"
    result = patched(document, operation("replace", path, value={"valueDateTime": "2020"}))
    assert result["entry"] == [{"resource": {"resourceType": "Patient", "deceasedDateTime": "2020"}}]


def test_conditions() -> None:
    """What `where` can ask of an element."""
    for condition in (
        "use = 'usual'",
        "family.empty()",
        "family.exists().not()",
        "given = 'D' and use != 'official'",
        "given.exists($this = 'D')",
        "%resource.active and use = 'usual'",
        "(use = 'official').not()",
        "hasExtension('x') or use = 'usual'",
    ):
        result = patched(PATIENT, operation("delete", f"Patient.name.where({condition})"))
        assert result["name"] == [{"use": "official", "family": "A", "given": ["B", "C"]}], condition


# --- all of it ------------------------------------------------------------------------------------------------


def test_operations_are_done_in_order_and_literals_stay() -> None:
    """Each sees what those before it did; numbers elsewhere keep how they were written."""
    document = (
        b'{"resourceType":"Observation","valueQuantity":{"value":1.00,"unit":"x"},"component":[{"valueInteger":1E0}]}'
    )
    result = patched(
        document,
        operation("add", "Observation", name="note", value={"valueAnnotation": {"text": "a"}}),
        operation("replace", "Observation.note[0].text", value={"valueString": "b"}),
        operation("replace", "Observation.value.unit", value={"valueString": "y"}),
    )
    assert json.encode(result) == (
        b'{"resourceType":"Observation","valueQuantity":{"value":1.00,"unit":"y"},"component":[{"valueInteger":1E0}],'
        b'"note":[{"text":"b"}]}'
    )


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        (operation("add", "Patient", name="birthDate", value={"valueDate": "1999"}), "birthDate is there already"),
        (operation("add", "Patient", name="deceased", value={"valueDateTime": "1999"}), "deceased is there already"),
        (operation("add", "Patient", name="nmae", value={"valueDate": "1999"}), "Patient has no element named nmae"),
        (operation("add", "Patient.name", name="text", value={"valueString": "x"}), "leads to 2 elements"),
        (operation("add", "Patient.photo", name="title", value={"valueString": "x"}), "leads to no elements"),
        (operation("add", "Patient", name="telecom", value={"valueString": "x"}), "telecom of Patient takes no String"),
        (operation("add", "Patient", name="telecom", value={"valueHumanName": {}}), "takes no HumanName"),
        (operation("add", "Patient", name="gender", value={"valueHumanName": {}}), "takes no HumanName"),
        (operation("add", "Patient", name="gender", value={"part": []}), "takes no parts"),
        (operation("add", "Patient", name="gender", value={"resource": {}}), "takes no Resource"),
        (operation("add", "Patient", name="multipleBirth", value={"valueDate": "1999"}), "takes no Date"),
        (
            operation("add", "Patient", name="contact", value={"part": [{"name": "x", "valueCode": "y"}]}),
            "Patient.contact has no element named x",
        ),
        (
            operation("insert", "Patient.identifier", index=4, value={"valueIdentifier": {}}),
            "index 4 is not in the list, which has 3",
        ),
        (operation("insert", "Patient.identifier", index=-1, value={"valueIdentifier": {}}), "index -1"),
        (operation("insert", "Patient.birthDate", index=0, value={"valueDate": "1999"}), "does not repeat"),
        (
            operation("insert", "Patient.identifier.first()", index=0, value={"valueIdentifier": {}}),
            "does not end in the name of a list",
        ),
        (operation("insert", "Patient.name.given", index=0, value={"valueString": "x"}), "leads to 2 elements"),
        (operation("move", "Patient.identifier", source=0, destination=3), "index 3 is not in the list"),
        (operation("move", "Patient.identifier", source=-1, destination=0), "index -1"),
        (operation("delete", "Patient.identifier"), "leads to 3 elements; delete one at a time"),
        (operation("delete", "Patient"), "the whole resource cannot be removed"),
        (operation("delete", "Patient.nmae"), "Patient has no element named nmae"),
        (operation("delete", "Observation.code"), "Patient has no element named Observation"),
        (operation("delete", "Patient.active and Patient.active"), "values that are not elements"),
        (
            operation("delete", "Patient.name.descendants()"),
            r"this part of FHIRPath is not supported in a patch: Patient.name.descendants\(\)",
        ),
        (operation("delete", "Patient.name.where(given.count() > 1)"), "not supported in a patch"),
        (operation("delete", "Patient.name.matches('Ng')"), r"not supported in a patch: Patient.name.matches\(…\)"),
        (operation("delete", "Patient.identifier.single()"), r"in a patch: Patient.identifier.single\(\)"),
        (operation("replace", "Patient", value={"valueString": "x"}), "the whole resource cannot be replaced"),
        (operation("replace", "Patient.gender", value={"valueCode": "x"}), "leads to no elements"),
        (operation("replace", "Patient.identifier", value={"valueIdentifier": {}}), "leads to 3 elements"),
        (operation("replace", "Patient.deceased", value={"valueCode": {}}), "takes no Code"),
    ],
)
def test_an_operation_that_does_not_fit_is_named(patch: Part, message: str) -> None:
    """By its number and type; nothing is done."""
    with pytest.raises(PatchFailed, match=message) as raised:
        patched(PATIENT, operation("delete", "Patient.gender"), patch)
    assert str(raised.value).startswith("Operation 2 (")


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ({"resourceType": "Patient"}, "is a Parameters resource"),
        ({"resourceType": "Parameters", "parameter": {}}, "no list of operations"),
        ({"resourceType": "Parameters", "parameter": [{"name": "x", "part": []}]}, "is an operation with parts"),
        ({"resourceType": "Parameters", "parameter": [{"name": "operation"}]}, "is an operation with parts"),
        ({"resourceType": "Parameters", "parameter": [operation("spam", "a")]}, "type must be one of add, insert"),
        (
            {"resourceType": "Parameters", "parameter": [operation("add", "a")]},
            r"Operation 1 \(add\) has no name and no value",
        ),
        ({"resourceType": "Parameters", "parameter": [operation("move", "a")]}, "has no source and no destination"),
        ({"resourceType": "Parameters", "parameter": [operation("delete", "a.")]}, "Not FHIRPath at character 3"),
        ({"resourceType": "Parameters", "parameter": [operation("delete", "")]}, "Not FHIRPath"),
        ({"resourceType": "Parameters", "parameter": [operation("replace", "a", value={})]}, "exactly one value"),
        (
            {
                "resourceType": "Parameters",
                "parameter": [operation("replace", "a", value={"valueCode": "x", "valueDate": "y"})],
            },
            "exactly one value",
        ),
        (
            {"resourceType": "Parameters", "parameter": [operation("replace", "a", value={"part": ["x"]})]},
            "not a list of parameters",
        ),
    ],
)
def test_what_is_no_patch_is_malformed(patch: Part, message: str) -> None:
    """The whole of it is read before anything is done."""
    with pytest.raises(MalformedContent, match=message):
        FhirPathPatch.parse(patch)


def test_work_is_bounded() -> None:
    """In operations, in steps and in depth."""
    many = [operation("delete", "Patient.gender")] * 1001
    with pytest.raises(ContentTooLarge, match="1,000 operations"):
        FhirPathPatch.parse({"resourceType": "Parameters", "parameter": many})
    document = b'{"resourceType":"Patient","identifier":[' + b",".join([b'{"value":"1"}'] * 2000) + b"]}"
    with pytest.raises(ContentTooLarge, match="steps"):
        patched(document, *[operation("delete", "Patient.identifier.where(value = '2')")] * 1000)
    deepest = "Patient" + ".extension" * 140
    assert patched(PATIENT, operation("delete", deepest)) == json.parse(PATIENT)
