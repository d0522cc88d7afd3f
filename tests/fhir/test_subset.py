"""Subsets hold what was asked for, what is mandatory and what modifies, and say that they are subsets."""

from __future__ import annotations

import pytest

from fhirstore.errors import InvalidResource
from fhirstore.fhir import json
from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.subset import SUBSETTED, subset
from tests.fhir.xml.examples import DATA

R4 = definitions("4.0")
PATIENT = json.parse(
    b'{"resourceType":"Patient","id":"p","meta":{"versionId":"1","tag":[{"code":"x"}]},"implicitRules":"u:r",'
    b'"language":"en","text":{"status":"generated","div":"<div/>"},"extension":[{"url":"u","valueCode":"x"}],'
    b'"modifierExtension":[{"url":"m","valueCode":"x"}],"active":true,"name":[{"family":"F","_family":{"id":"x"}}],'
    b'"birthDate":"1974","_birthDate":{"id":"b"},"deceasedBoolean":false,"maritalStatus":{"text":"M"},'
    b'"contact":[{"gender":"male"}],"link":[{"other":{"reference":"Patient/1"},"type":"seealso"}]}'
)
OBSERVATION = json.parse(
    b'{"resourceType":"Observation","id":"o","status":"final","_status":{"id":"s"},"code":{"text":"c"},'
    b'"valueQuantity":{"value":1.00,"unit":"u"},"note":[{"text":"n"}],"referenceRange":[{"text":"r"}]}'
)


def names(resource: json.JsonObject) -> set[str]:
    return set(resource) - {"resourceType", "id", "meta"}


def tags(resource: json.JsonObject) -> object:
    meta = resource["meta"]
    assert isinstance(meta, dict)
    return meta["tag"]


def test_nothing_asked_nothing_done() -> None:
    """No parameter, and `_summary=false`, give the resource itself, unmarked."""
    assert subset(PATIENT, R4) is PATIENT
    assert subset(PATIENT, R4, summary="false") is PATIENT


@pytest.mark.parametrize("summary", ["true", "text", "data"])
def test_a_subset_is_marked(summary: str) -> None:
    """id and the rest of meta stay; SUBSETTED is added to the tags, once, and the original is untouched."""
    before = json.encode(PATIENT)
    part = subset(subset(PATIENT, R4, summary=summary), R4, summary=summary)
    assert part["id"] == "p"
    assert tags(part) == [{"code": "x"}, SUBSETTED]
    assert json.encode(PATIENT) == before


def test_a_new_meta_follows_the_id() -> None:
    """A resource without meta gets one in its usual place."""
    assert list(subset(OBSERVATION, R4, elements=["code"]))[:3] == ["resourceType", "id", "meta"]


def test_summary_true_is_what_the_definitions_mark() -> None:
    """No narrative, no extensions, no contact; modifier elements and modifier extensions stay, whole."""
    part = subset(PATIENT, R4, summary="true")
    assert names(part) == {
        "implicitRules",
        "modifierExtension",
        "active",
        "name",
        "birthDate",
        "deceasedBoolean",
        "link",
    }
    assert part["modifierExtension"] == PATIENT["modifierExtension"]
    assert part["name"] == [{"family": "F"}]


def test_summary_true_goes_into_elements() -> None:
    """Inside a summary element, what is not marked is left out: the data of an attachment, the note of a range."""
    media = json.parse(
        b'{"resourceType":"DocumentReference","status":"current","content":[{"attachment":{"contentType":"a/b",'
        b'"data":"AAAA","title":"t"},"format":{"code":"f"}}]}'
    )
    part = subset(media, R4, summary="true")
    assert part["content"] == [{"attachment": {"contentType": "a/b", "title": "t"}, "format": {"code": "f"}}]


def test_a_value_that_is_only_an_extension_stays() -> None:
    """A mandatory element without a value, but with the reason why, is not lost."""
    reason = (
        b'{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason","valueCode":"unknown"}]}'
    )
    resource = json.parse(b'{"resourceType":"Observation","_status":' + reason + b',"code":{"text":"c"}}')
    assert subset(resource, R4, summary="true")["_status"] == json.parse(reason)


def test_summary_text_is_narrative_and_what_is_mandatory() -> None:
    """ "Return only the text, id, meta, and top-level mandatory elements." """
    assert names(subset(PATIENT, R4, summary="text")) == {"text"}
    assert names(subset(OBSERVATION, R4, summary="text")) == {"status", "_status", "code"}


def test_summary_data_is_all_but_the_narrative() -> None:
    """ "Remove the text element." """
    assert names(subset(PATIENT, R4, summary="data")) == names(PATIENT) - {"text"}


def test_elements_names_what_stays() -> None:
    """Besides them: mandatory and modifier elements. A choice goes by its name with or without its type."""
    always = {"implicitRules", "modifierExtension", "active", "deceasedBoolean", "link"}
    assert names(subset(PATIENT, R4, elements=["birthDate"])) == always | {"birthDate", "_birthDate"}
    assert names(subset(PATIENT, R4, elements=["Patient.contact", "Practitioner.name"])) == always | {"contact"}
    for name in ("value", "valueQuantity", "value[x]"):
        part = subset(OBSERVATION, R4, elements=[name])
        assert names(part) == {"status", "_status", "code", "valueQuantity"}
        assert json.encode(part).count(b"1.00") == 1


def test_elements_a_type_does_not_have_are_passed_over() -> None:
    """One list goes for every type that a search finds."""
    assert names(subset(OBSERVATION, R4, elements=["bogus"])) == {"status", "_status", "code"}


@pytest.mark.parametrize(
    ("summary", "elements"),
    [("yes", ()), ("True", ()), ("", ()), ("count", ()), ("true", ("name",)), (None, ("na me",)), (None, ("a.b",))],
)
def test_what_makes_no_sense_is_refused(summary: str | None, elements: tuple[str, ...]) -> None:
    """Unknown values, both parameters at once, names that are no names."""
    with pytest.raises(InvalidResource):
        subset(PATIENT, R4, summary=summary, elements=elements)


def test_a_stored_bundle_is_subset_all_through() -> None:
    """The resources in it are subsets in their turn, and marked."""
    bundle: json.JsonObject = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": PATIENT}]}
    part = subset(bundle, R4, summary="true")
    entries = part["entry"]
    assert isinstance(entries, list)
    inner = entries[0]["resource"]
    assert names(inner) == names(subset(PATIENT, R4, summary="true"))
    assert SUBSETTED in inner["meta"]["tag"]


def test_every_example_has_every_subset() -> None:
    """Nothing but members of the original, equal to it or cut from it, and never an empty object."""
    for line in DATA.read_bytes().splitlines():
        resource = json.parse(line)
        for summary in ("true", "text", "data"):
            part = subset(resource, R4, summary=summary)
            assert set(part) <= set(resource) | {"meta"}
            assert b"{}" not in json.encode(part)
            assert json.encode(subset(part, R4, summary=summary)) == json.encode(part)
