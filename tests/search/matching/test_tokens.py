"""Tokens match codes and identifiers, in their systems or in any."""

from __future__ import annotations

import pytest

from fhirstore.errors import InvalidResource
from tests.search.matching.asking import asked, matches

CONDITION = {
    "resourceType": "Condition",
    "id": "Id1",
    "identifier": [
        {"system": "i", "value": "1", "type": {"coding": [{"system": "ts", "code": "MR"}], "text": "Record"}}
    ],
    "meta": {"tag": [{"system": "g", "code": "x"}, {"code": "plain"}]},
    "code": {
        "coding": [{"system": "s", "code": "A", "display": "Headache, severe"}, {"code": "B"}],
        "text": "Kopfschmerz",
    },
    "stage": [{"summary": {"coding": [{"system": "s", "code": "C"}]}}, {"summary": {"text": "late"}}],
}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("code=A", True),
        ("code=a", False),
        ("code=s|A", True),
        ("code=S|A", False),
        ("code=t|A", False),
        ("code=|A", False),
        ("code=|B", True),
        ("code=s|B", False),
        ("code=s|", True),
        ("code=t|", False),
        ("code=t|,x,|B", True),
        ("stage=C", True),
        ("stage=s|C", True),
        ("stage=D", False),
        ("identifier=1", True),
        ("identifier=i|1", True),
        ("identifier=|1", False),
        ("identifier=i|", True),
        ("identifier=2", False),
        ("_tag=g|x", True),
        ("_tag=|plain", True),
        ("_tag=|x", False),
        ("_id=Id1", True),
        ("_id=id1", False),
        ("_id=a,Id1", True),
        ("code:not=A", False),
        ("code:not=Z", True),
        ("code:not=Z,A", False),
        ("severity:not=Z", True),
        ("code:not=A&_id=Id1", False),
        ("code:text=kopf", True),
        ("code:text=headache severe", True),
        ("code:text=severe", False),
        ("identifier:text=record", True),
        ("identifier:text=1", False),
        ("identifier:of-type=ts|MR|1", True),
        ("identifier:of-type=ts|MR|2", False),
        ("identifier:of-type=i|MR|1", False),
        ("identifier:of-type=ts|XX|1,ts|MR|1", True),
    ],
)
def test_codings_concepts_and_identifiers(query: str, found: bool) -> None:
    """Any coding of a concept will do; case counts; :not is about the whole resource."""
    assert matches(query, CONDITION) is found


PATIENT = {
    "resourceType": "Patient",
    "active": True,
    "gender": "female",
    "telecom": [{"system": "phone", "value": "+49 30 1"}, {"system": "email", "value": "a@b.example"}],
    "communication": [{"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": "de"}]}}],
}
GENDER = "http://hl7.org/fhir/administrative-gender"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("active=true", True),
        ("active=false", False),
        ("active:not=false", True),
        ("deceased=false", True),
        ("deceased=true", False),
        ("gender=female", True),
        ("gender=Female", False),
        ("gender=male,female", True),
        (f"gender={GENDER}|female", True),
        (f"gender={GENDER}|male", False),
        (f"gender={GENDER}|", True),
        ("gender=other-system|female", False),
        ("gender=other-system|", False),
        ("gender=|female", True),
        ("gender:not=male", True),
        ("telecom=+49 30 1", True),
        ("phone=+49 30 1", True),
        ("email=+49 30 1", False),
        ("email=a@b.example", True),
        ("language=de", True),
    ],
)
def test_codes_booleans_and_contact_points(query: str, found: bool) -> None:
    """A code has the system of the value set it is bound to; a contact point is its value alone."""
    assert matches(query, PATIENT) is found


def test_a_code_of_an_open_value_set_may_be_of_any_system() -> None:
    """The codes of languages and media types cannot be enumerated."""
    document = {
        "resourceType": "DocumentReference",
        "content": [{"attachment": {"contentType": "text/xml", "language": "de"}}],
    }
    assert matches("contenttype=text/xml", document)
    assert matches("language=urn:ietf:bcp:47|de", document)
    assert not matches("language=urn:ietf:bcp:47|en", document)


def test_a_string_that_is_a_token_has_no_case() -> None:
    """ "If the underlying datatype is string then the search is not case sensitive"."""
    questionnaire = {"resourceType": "ValueSet", "version": "V1", "expansion": {"identifier": "urn:X"}}
    assert matches("version=v1", questionnaire)
    assert matches("version=V1", questionnaire)
    assert matches("version=|v1", questionnaire)
    assert not matches("version=s|V1", questionnaire)
    assert matches("expansion=urn:X", questionnaire)
    assert not matches("expansion=urn:x", questionnaire)


def test_a_concept_in_a_codeable_reference() -> None:
    """R5: the concept is what a token finds, the reference what a reference finds."""
    request = {
        "resourceType": "MedicationRequest",
        "medication": {"concept": {"coding": [{"system": "s", "code": "A"}], "text": "Pill"}},
        "reason": [{"reference": {"reference": "Condition/c"}}],
    }
    assert matches("code=s|A", request, release="5.0")
    assert matches("code:text=pill", request, release="5.0")


@pytest.mark.parametrize("query", ["active=yes", "active=s|true", "telecom=phone|1", "deceased=maybe"])
def test_what_has_no_system_is_not_searched_with_one(query: str) -> None:
    """A boolean is true or false; boolean, uri and contact point allow no `|`."""
    with pytest.raises(InvalidResource, match=query.split("=", maxsplit=1)[0]):
        asked("Patient", query)
