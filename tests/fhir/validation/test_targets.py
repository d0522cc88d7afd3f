"""References point at types that their element allows, as far as the reference itself tells."""

from __future__ import annotations

import pytest

from fhirstore.fhir import json
from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.validation import Validator
from fhirstore.fhir.validation.models_check import differing_opinions
from fhirstore.fhir.validation.targets import denied_types, repeated_ids, wrong_targets


def _wrong(resource: bytes, release: str = "4.0") -> list[str]:
    return [issue.expression[0] for issue in wrong_targets(definitions(release), json.parse(resource))]


@pytest.mark.parametrize(
    "reference",
    [
        b'{"reference":"Patient/1"}',
        b'{"reference":"https://example.org/fhir/Patient/1"}',
        b'{"reference":"Patient/1/_history/2"}',
        b'{"type":"Patient","identifier":{"value":"1"}}',
        b'{"reference":"#p"}',
    ],
)
def test_a_reference_to_another_type_is_wrong(reference: bytes) -> None:
    """An encounter's service provider is an Organization, not a Patient."""
    contained = b'"contained":[{"resourceType":"Patient","id":"p"}]'
    assert _wrong(b'{"resourceType":"Encounter",%s,"serviceProvider":%s}' % (contained, reference)) == [
        "Encounter.serviceProvider"
    ]


@pytest.mark.parametrize(
    "reference",
    [
        b'{"reference":"Organization/1"}',
        b'{"reference":"urn:uuid:8f5e5c1a-2c5a-4a30-9f52-4b1bb3f0d0c1"}',
        b'{"reference":"https://example.org/somewhere"}',
        b'{"display":"a"}',
        b'{"reference":"#unknown"}',
    ],
)
def test_what_nothing_tells_is_left_alone(reference: bytes) -> None:
    """Only what is surely another type is refused."""
    assert _wrong(b'{"resourceType":"Encounter","serviceProvider":%s}' % reference) == []


def test_an_entry_of_the_same_bundle_tells_its_type() -> None:
    """A fullUrl that an entry has stands for that entry's resource."""
    bundle = (
        b'{"resourceType":"Bundle","entry":[{"fullUrl":"urn:uuid:1","resource":{"resourceType":"Patient"}},'
        b'{"resource":{"resourceType":"Encounter","serviceProvider":{"reference":"urn:uuid:1"}}}]}'
    )
    assert _wrong(bundle) == ["Bundle.entry[1].resource.serviceProvider"]


def test_a_codeable_reference_has_targets_too() -> None:
    """R5: ImagingStudy.procedure is a CodeableReference(PlanDefinition | ActivityDefinition)."""
    study = b'{"resourceType":"ImagingStudy","procedure":[{"reference":{"reference":"Procedure/1"}}]}'
    assert _wrong(study, "5.0") == ["ImagingStudy.procedure[0].reference"]


def test_fhir_resources_gives_an_opinion_without_data() -> None:
    """For R5 and R4B what its models refuse is information; R4 it does not model."""
    resource = json.parse(b'{"resourceType":"Patient","gender":["secret"],"name":[{"family":"A"}]}')
    for release in ("4.3", "5.0"):
        opinions = list(differing_opinions(definitions(release), resource))
        assert [(each.severity, each.expression) for each in opinions] == [("information", ("Patient.gender",))]
        assert "secret" not in str(opinions)
    assert list(differing_opinions(definitions("4.0"), resource)) == []


@pytest.mark.parametrize(
    ("reference", "denied"),
    [
        (b'{"reference":"Patient/1","type":"Group"}', True),
        (b'{"reference":"Patient/1/_history/2","type":"Group"}', True),
        (b'{"reference":"https://example.org/fhir/Patient/1","type":"Group"}', True),
        (b'{"reference":"#p","type":"Group"}', True),
        (b'{"reference":"Patient/1","type":"http://hl7.org/fhir/StructureDefinition/Group"}', True),
        (b'{"reference":"Patient/1","type":"http://hl7.org/fhir/StructureDefinition/Patient"}', False),
        (b'{"reference":"Patient/1","type":"Patient"}', False),
        (b'{"reference":"#p","type":"Patient"}', False),
        (b'{"reference":"urn:uuid:8f5e5c1a-2c5a-4a30-9f52-4b1bb3f0d0c1","type":"Group"}', False),
        (b'{"reference":"Patient/1","type":"http://example.org/Thing"}', False),
        (b'{"reference":"Nonsense/1","type":"Group"}', False),
        (b'{"type":"Group"}', False),
    ],
)
def test_the_type_of_a_reference_is_that_of_its_target(reference: bytes, denied: bool) -> None:
    """Where the reference tells it, by a URL or by what is contained."""
    contained = b'"contained":[{"resourceType":"Patient","id":"p"}]'
    resource = json.parse(
        b'{"resourceType":"Observation","status":"final","code":{"text":"a"},%s,"subject":%s}' % (contained, reference)
    )
    found = [issue.expression for issue in denied_types(definitions(), resource)]
    assert found == ([("Observation.subject.type",)] if denied else [])


def test_an_entry_denies_the_type_of_a_reference_to_it() -> None:
    """The fullUrl is that of a Patient; `full` refuses it."""
    bundle = json.parse(
        b'{"resourceType":"Bundle","type":"collection","entry":[{"fullUrl":"urn:uuid:8f5e5c1a-2c5a-4a30-9f52-'
        b'4b1bb3f0d0c1","resource":{"resourceType":"Patient"}},{"fullUrl":"http://a/Basic/1","resource":'
        b'{"resourceType":"Basic","code":{"text":"a"},"subject":{"type":"Group","reference":'
        b'"urn:uuid:8f5e5c1a-2c5a-4a30-9f52-4b1bb3f0d0c1"}}}]}'
    )
    errors = [each for each in Validator(definitions(), "full").issues(bundle) if each.severity == "error"]
    assert [(each.code, each.expression) for each in errors] == [
        ("value", ("Bundle.entry[1].resource.subject.type",)),
    ]


def test_two_contained_resources_have_two_ids() -> None:
    """Each in its own resource: entries of a Bundle may contain the same ids."""
    contained = '"contained":[{"resourceType":"Basic","id":"b"},{"resourceType":"Basic"},{"resourceType":"Basic"},%s]'
    twice = contained % '{"resourceType":"Patient","id":"b"}'
    once = contained % '{"resourceType":"Patient","id":"c"}'
    bundle = f'{{"resourceType":"Bundle","entry":[{{"resource":{{"resourceType":"Patient",{once}}}}},'
    bundle += f'{{"resource":{{"resourceType":"Patient",{twice}}}}}]}}'
    found = [(issue.code, issue.expression) for issue in repeated_ids(definitions(), json.parse(bundle.encode()))]
    assert found == [("duplicate", ("Bundle.entry[1].resource.contained[3].id",))]
