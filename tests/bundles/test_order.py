"""Entries are processed DELETE, POST, PUT and PATCH, GET and HEAD; two may not write one resource."""

from __future__ import annotations

import pytest

from fhirstore.bundles.entries import Entry, parse_entries
from fhirstore.bundles.order import phases, refuse_overlaps, refuse_same_full_urls, target
from fhirstore.errors import InvalidResource
from fhirstore.fhir.definitions.load import definitions

TYPES = definitions().resources


def entries(*requests: tuple[str, str], **more: object) -> list[Entry]:
    bundle = [
        {"request": {"method": m, "url": u}, "resource": {"resourceType": "Patient"}, **more} for m, u in requests
    ]
    return [entry for entry in parse_entries(bundle, types=TYPES) if isinstance(entry, Entry)]


def test_the_phases_are_those_of_the_page() -> None:
    """Within a phase the order is the Bundle's; a phase without entries is not there."""
    asked = entries(
        ("GET", "Patient/1"), ("PATCH", "Patient/2"), ("POST", "Patient"), ("PUT", "Patient/3"),
        ("DELETE", "Patient/4"), ("HEAD", "Patient/5"), ("POST", "Patient"),
    )  # fmt: skip
    assert [[entry.index for entry in phase] for phase in phases(asked)] == [[4], [2, 6], [1, 3], [0, 5]]
    assert [[entry.index for entry in phase] for phase in phases(asked[:1])] == [[0]]


def test_equal_targets_are_the_same_resource_or_the_same_criteria() -> None:
    """Creates and searches are about nothing in particular."""
    one, same, other, cond, cond_again, post, again = entries(
        ("PUT", "Patient/1"), ("DELETE", "Patient/1"), ("PUT", "Patient/2"), ("PUT", "Patient?_id=1"),
        ("PATCH", "Patient?_id=1"), ("POST", "Patient"), ("POST", "Patient"),
    )  # fmt: skip
    assert target(one) == target(same)
    assert target(cond) == target(cond_again)
    assert len({target(one), target(other), target(cond), target(post), target(again)}) == 5


def test_two_writes_of_one_resource_are_refused_with_both_places() -> None:
    """Also where one of them is conditional and turned out to match it."""
    put, delete, other = entries(("PUT", "Patient/1"), ("DELETE", "Patient?identifier=x"), ("PUT", "Patient/2"))
    refuse_overlaps([(put, "Patient", "1"), (other, "Patient", "2")])
    with pytest.raises(InvalidResource) as refused:
        refuse_overlaps([(put, "Patient", "1"), (other, "Patient", "2"), (delete, "Patient", "1")])
    (issue,) = refused.value.issues
    assert (issue.code, issue.expression) == ("duplicate", ("Bundle.entry[1]", "Bundle.entry[0]"))


def test_one_full_url_for_two_entries_is_refused() -> None:
    """A reference to it could mean either."""
    with pytest.raises(InvalidResource) as refused:
        refuse_same_full_urls(entries(("POST", "Patient"), ("POST", "Patient"), fullUrl="urn:uuid:1"))
    assert refused.value.issues[0].expression == ("Bundle.entry[1].fullUrl", "Bundle.entry[0].fullUrl")
    refuse_same_full_urls(entries(("POST", "Patient"), ("GET", "Patient/1"), fullUrl="urn:uuid:1"))
