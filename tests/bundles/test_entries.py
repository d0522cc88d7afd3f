"""An entry's request is read as the HTTP request it stands for; what is wrong is told with its place."""

from __future__ import annotations

import pytest

from fhirstore.bundles.entries import Entry, entries_of, parse_entries
from fhirstore.errors import ContentTooLarge, FhirError, InvalidResource, UnknownType, Unsupported
from fhirstore.fhir.definitions.load import definitions

TYPES = definitions().resources

PATIENT = {"resourceType": "Patient", "id": "p"}
BASE = "http://localhost:8000/fhir"


def one(method: object, url: object, **request: object) -> Entry | FhirError:
    entry = {"request": {"method": method, "url": url, **request}, "resource": PATIENT}
    (parsed,) = parse_entries([entry], types=TYPES, base_url=BASE)
    return parsed


@pytest.mark.parametrize(
    ("method", "url", "meaning"),
    [
        ("POST", "Patient", ("create", "Patient", None, None, None)),
        ("PUT", "Patient/p", ("update", "Patient", "p", None, None)),
        ("PUT", f"{BASE}/Patient/p", ("update", "Patient", "p", None, None)),
        ("PUT", "/fhir/Patient/p", ("update", "Patient", "p", None, None)),
        ("PUT", "/Patient/p", ("update", "Patient", "p", None, None)),
        ("PUT", "Patient?identifier=a|b", ("update", "Patient", None, None, "identifier=a|b")),
        ("PUT", "Patient?_format=json&identifier=a", ("update", "Patient", None, None, "identifier=a")),
        ("PUT", "Patient/p?_pretty=true", ("update", "Patient", "p", None, None)),
        ("POST", "Patient?_format=json", ("create", "Patient", None, None, None)),
        ("POST", "Patient/$match", ("operation", "Patient", None, None, None)),
        ("GET", "Patient/p/$validate?mode=update", ("operation", "Patient", "p", None, "mode=update")),
        ("POST", "$match", ("operation", None, None, None, None)),
        ("POST", "Patient/_search?_id=p", ("operation", "Patient", None, None, "_id=p")),
        ("GET", "metadata", ("operation", None, None, None, None)),
        ("PATCH", "Patient/p", ("patch", "Patient", "p", None, None)),
        ("DELETE", "Patient/p", ("delete", "Patient", "p", None, None)),
        ("DELETE", "Patient?_id=p", ("delete", "Patient", None, None, "_id=p")),
        ("GET", "Patient/p", ("read", "Patient", "p", None, None)),
        ("HEAD", "Patient/p", ("read", "Patient", "p", None, None)),
        ("GET", "Patient/p/_history/3", ("vread", "Patient", "p", 3, None)),
        ("GET", "Patient/p/_history?_count=2", ("history", "Patient", "p", None, "_count=2")),
        ("GET", "Patient/_history", ("history", "Patient", None, None, None)),
        ("GET", "_history", ("history", None, None, None, None)),
        ("GET", "Patient?_id=p", ("search", "Patient", None, None, "_id=p")),
        ("GET", "Patient", ("search", "Patient", None, None, "")),
        ("GET", "?_id=p", ("search", None, None, None, "_id=p")),
        ("GET", f"{BASE}?_id=p", ("search", None, None, None, "_id=p")),
    ],
)
def test_a_url_means_an_interaction(method: str, url: str, meaning: tuple[object, ...]) -> None:
    """Relative to the base, or absolute below ours."""
    entry = one(method, url)
    assert isinstance(entry, Entry)
    assert (entry.interaction, entry.type, entry.id, entry.version, entry.criteria) == meaning


@pytest.mark.parametrize(
    ("method", "url", "kind", "member"),
    [
        ("POST", "Patient/p", InvalidResource, "url"),
        ("PUT", "Patient", InvalidResource, "url"),
        ("PUT", "Patient/p?identifier=a", InvalidResource, "url"),
        ("PUT", "Patient?_format=json", InvalidResource, "url"),
        ("DELETE", "Patient", InvalidResource, "url"),
        ("PUT", "Patient/p/_history/1", InvalidResource, "url"),
        ("PUT", "Patient/a_b", InvalidResource, "url"),
        ("PUT", "http://elsewhere.org/fhir/Patient/p", InvalidResource, "url"),
        ("PUT", "urn:uuid:f1b8a1a4-41a3-4c3c-8e0e-8f2a1f8f5d5e", InvalidResource, "url"),
        ("GET", "Patient/p/_history/0", InvalidResource, "url"),
        ("GET", "patient/p", UnknownType, "url"),
        ("POST", "", Unsupported, "url"),
        ("POST", BASE, Unsupported, "url"),
        ("GET", None, InvalidResource, "url"),
        ("GET", 1, InvalidResource, "url"),
        ("TRACE", "Patient/p", InvalidResource, "method"),
        (None, "Patient/p", InvalidResource, "method"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(method: object, url: object, kind: type, member: str) -> None:
    """The issue's expression is the member of the request."""
    error = one(method, url)
    assert type(error) is kind
    assert isinstance(error, FhirError)
    assert error.issues[0].expression == (f"Bundle.entry[0].request.{member}",)


@pytest.mark.parametrize(
    ("entry", "expression"),
    [
        (1, "Bundle.entry[0]"),
        ({}, "Bundle.entry[0].request"),
        ({"request": {"method": "POST", "url": "Patient"}}, "Bundle.entry[0].resource"),
        ({"request": {"method": "POST", "url": "Patient"}, "resource": []}, "Bundle.entry[0].resource"),
        ({"request": {"method": "GET", "url": "Patient", "ifMatch": 3}}, "Bundle.entry[0].request.ifMatch"),
        ({"request": {"method": "GET", "url": "Patient"}, "fullUrl": {}}, "Bundle.entry[0].fullUrl"),
    ],
)
def test_an_entry_that_is_none_is_refused_with_its_place(entry: object, expression: str) -> None:
    """Wrong structure is told like anything else."""
    (error,) = parse_entries([entry], types=TYPES)
    assert isinstance(error, FhirError)
    assert error.issues[0].expression == (expression,)


def test_the_conditions_are_kept_as_they_are() -> None:
    """ifNoneExist may begin with a question mark, as some clients write it."""
    entry = one("POST", "Patient", ifNoneExist="?identifier=a|b", ifMatch='W/"1"', ifNoneMatch="*")
    assert isinstance(entry, Entry)
    assert (entry.if_none_exist, entry.if_match, entry.if_none_match) == ("identifier=a|b", 'W/"1"', "*")


def test_the_criteria_of_a_create_may_be_in_its_url() -> None:
    """As they may for a create on its own; not in both places."""
    entry = one("POST", "Patient?identifier=a&_format=json")
    assert isinstance(entry, Entry)
    assert (entry.interaction, entry.if_none_exist, entry.criteria) == ("create", "identifier=a", None)
    both = one("POST", "Patient?identifier=a", ifNoneExist="identifier=a")
    assert isinstance(both, InvalidResource)
    assert both.issues[0].expression == ("Bundle.entry[0].request.ifNoneExist",)


def test_a_bundle_that_is_none_is_refused() -> None:
    """By its type, by what its entry is, by their number; an empty one is fine."""
    kinds = ("batch", "transaction")
    assert entries_of({"resourceType": "Bundle", "type": "batch"}, kinds=kinds) == []
    for bundle in ({"resourceType": "Patient"}, {"resourceType": "Bundle", "type": "searchset"}):
        with pytest.raises(InvalidResource):
            entries_of(bundle, kinds=kinds)
    with pytest.raises(InvalidResource):
        entries_of({"resourceType": "Bundle", "type": "batch", "entry": {}}, kinds=kinds)
    with pytest.raises(ContentTooLarge, match=r"3 entries; the limit is 2 \(FHIRSTORE_MAX_BUNDLE_ENTRIES\)"):
        entries_of({"resourceType": "Bundle", "type": "batch", "entry": [1, 2, 3]}, kinds=kinds, limit=2)


@pytest.mark.parametrize(
    ("method", "request_members", "place"),
    [
        ("PUT", {"ifNoneExist": "_id=p"}, "Bundle.entry[0].request.ifNoneExist"),
        ("POST", {"ifNoneExists": "_id=p"}, "Bundle.entry[0].request"),
        ("PUT", {"if-match": 'W/"1"'}, "Bundle.entry[0].request"),
    ],
)
def test_a_condition_that_would_not_be_heeded_is_refused(
    method: str, request_members: dict[str, object], place: str
) -> None:
    """One that is misspelt, or of another method: the entry does not go ahead without it."""
    wrong = one(method, "Patient" if method == "POST" else "Patient/p", **request_members)
    assert isinstance(wrong, InvalidResource)
    assert wrong.issues[0].expression == (place,)
