"""References and URIs match in every spelling of the same target."""

from __future__ import annotations

import pytest

from fhirstore.errors import InvalidResource
from tests.search.matching.asking import asked, matches

ELSEWHERE = "https://elsewhere.example/fhir"
HERE = "https://here.example/fhir"


def found(query: str, reference: object) -> bool:
    """Does an Observation with this subject match?"""
    subject = {"reference": reference} if isinstance(reference, str) else reference
    return matches(query, {"resourceType": "Observation", "subject": subject})


@pytest.mark.parametrize("spelled", ["p", "Patient/p", f"{HERE}/Patient/p"])
@pytest.mark.parametrize(
    ("reference", "is_it"),
    [
        ("Patient/p", True),
        (f"{HERE}/Patient/p", True),
        ("Patient/p/_history/3", True),
        (f"{HERE}/Patient/p/_history/3", True),
        ("Patient/P", False),
        ("Patient/p2", False),
        (f"{ELSEWHERE}/Patient/p", False),
        ("#p", False),
        ("urn:uuid:p", False),
        ("", False),
        ({"display": "p"}, False),
        ({"type": "Patient", "identifier": {"value": "p"}}, False),
    ],
)
def test_all_spellings_name_the_same_resource(spelled: str, reference: object, is_it: bool) -> None:
    """An id, a relative and an absolute reference of this server; in the search, and in the resource."""
    assert found(f"subject={spelled}", reference) is is_it
    assert found(f"subject:Patient={spelled}", reference) is is_it
    assert found(f"patient={spelled}", reference) is is_it


@pytest.mark.parametrize(
    ("query", "reference", "is_it"),
    [
        ("subject=g", "Group/g", True),
        ("subject:Patient=g", "Group/g", False),
        ("subject=Patient/g", "Group/g", False),
        ("patient=g", "Group/g", False),
        ("subject=x,Group/g", "Group/g", True),
        (f"subject={ELSEWHERE}/Patient/p", f"{ELSEWHERE}/Patient/p", True),
        (f"subject={ELSEWHERE}/Patient/p", f"{ELSEWHERE}/Patient/p/_history/1", True),
        (f"subject={ELSEWHERE}/Patient/p", "Patient/p", False),
        ("subject=Patient/p/_history/3", "Patient/p/_history/3", True),
        ("subject=Patient/p/_history/3", f"{HERE}/Patient/p/_history/3", True),
        ("subject=Patient/p/_history/3", "Patient/p/_history/30", False),
        ("subject=Patient/p/_history/3", "Patient/p", False),
        ("subject=urn:uuid:0-1", "urn:uuid:0-1", True),
        ("subject=urn:uuid:0-1", "urn:uuid:0-12", False),
        ("subject:identifier=s|1", {"identifier": {"system": "s", "value": "1"}}, True),
        ("subject:identifier=1", {"identifier": {"system": "s", "value": "1"}, "reference": "Patient/p"}, True),
        ("subject:identifier=t|1", {"identifier": {"system": "s", "value": "1"}}, False),
        ("subject:identifier=1", "Patient/1", False),
    ],
)
def test_types_versions_and_identifiers(query: str, reference: object, is_it: bool) -> None:
    """A version counts only where one is searched for; other servers' resources only by their URL."""
    assert found(query, reference) is is_it


def test_a_resource_in_a_resource() -> None:
    """The composition of a Bundle is the resource itself."""
    bundle = {"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Composition", "id": "c"}}]}
    assert matches("composition=c", bundle)
    assert matches("composition=Composition/c", bundle)
    assert not matches("composition=d", bundle)


@pytest.mark.parametrize(
    ("query", "is_it"),
    [
        ("instantiates-canonical=http://x.example/def", True),
        ("instantiates-canonical=http://x.example/def|1.2", True),
        ("instantiates-canonical=http://x.example/def|1", False),
        ("instantiates-canonical=http://x.example/de", False),
        ("instantiates-canonical:below=http://x.example/def", True),
        ("instantiates-canonical:below=http://x.example/def|1", True),
        ("instantiates-canonical:below=http://x.example/def|1.2", True),
        ("instantiates-canonical:below=http://x.example/def|1.2.0", False),
        ("instantiates-canonical:below=http://x.example", False),
        (f"instantiates-canonical={HERE}/PlanDefinition/x|2", True),
        (f"instantiates-canonical={HERE}/PlanDefinition/x|1", False),
        (f"instantiates-canonical={HERE}/PlanDefinition/x", True),
    ],
)
def test_canonicals_have_versions_of_their_own(query: str, is_it: bool) -> None:
    """`url` finds `url|version`; :below finds the versions that begin with one."""
    canonicals = ["http://x.example/def|1.2", f"{HERE}/PlanDefinition/x|2"]
    assert matches(query, {"resourceType": "CarePlan", "instantiatesCanonical": canonicals}) is is_it


@pytest.mark.parametrize(
    ("query", "is_it"),
    [
        ("url=http://acme.example/fhir/ValueSet/123", True),
        ("url=http://acme.example/fhir/ValueSet/123|7", True),
        ("url=http://acme.example/fhir/ValueSet/123|8", False),
        ("url=http://acme.example/fhir/valueset/123", False),
        ("url=http://acme.example/fhir/ValueSet/123/", False),
        ("url:below=http://acme.example/fhir/", True),
        ("url:below=http://acme.example/fhir", True),
        ("url:below=http://acme.example/fh", False),
        ("url:below=http://acme.example/fhir/ValueSet/123", True),
        ("url:above=http://acme.example/fhir/ValueSet/123/_history/5", True),
        ("url:above=http://acme.example/fhir/ValueSet/123", True),
        ("url:above=http://acme.example/fhir/ValueSet/1234", False),
        ("url:above=http://acme.example/fhir", False),
        ("_profile=http://p.example/a", True),
        ("_profile=http://p.example/a|1", True),
        ("_profile=http://p.example/a|2", False),
        ("_source=urn:x:y", True),
        ("_source=urn:x", False),
    ],
)
def test_uris_match_as_a_whole_or_by_their_segments(query: str, is_it: bool) -> None:
    """Case and every slash count; :below and :above go by path segments."""
    value_set = {
        "resourceType": "ValueSet",
        "meta": {"profile": ["http://p.example/a|1"], "source": "urn:x:y"},
        "url": "http://acme.example/fhir/ValueSet/123",
        "version": "7",
    }
    assert matches(query, value_set) is is_it


@pytest.mark.parametrize(
    ("type", "query"),
    [
        ("ValueSet", "url:below=urn:oid:1.2"),
        ("ValueSet", "url:above=urn:oid:1.2"),
        ("Observation", "subject=Patient/p/x"),
        ("Observation", "subject=patient/p"),
        ("Observation", f"subject:Patient={ELSEWHERE}/Patient/p"),
        ("Observation", "subject:below=p"),
        ("CarePlan", "instantiates-canonical:identifier=p"),
    ],
)
def test_what_is_no_reference_is_refused(type: str, query: str) -> None:
    """Hierarchies are for URLs and canonicals, types for this server's resources."""
    with pytest.raises(InvalidResource):
        asked(type, query)
