"""A Group has the members that it lists, at the time that is asked for."""

from __future__ import annotations

import pytest

from fhirstore.errors import Unsupported
from fhirstore.fhir.groups import Membership, group_members
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.times import period

T = period("2024-06-01T12:00:00Z").start
HERE = ("https://here.example/fhir/",)


def group(*members: JsonObject, **more: object) -> JsonObject:
    """A group that lists these members."""
    return {"resourceType": "Group", "type": "person", "actual": True, "member": list(members)} | more


def member(reference: str, **more: object) -> JsonObject:
    """One member."""
    return {"entity": {"reference": reference}} | more


def members(*listed: JsonObject) -> Membership:
    """Who is in it at T."""
    return group_members(group(*listed), at=T, bases=HERE)


def test_patients_and_groups_are_told_apart() -> None:
    """Groups are for the caller to read; members of other types are left out."""
    found = members(
        member("Patient/a"),
        member("Patient/a"),
        member("https://here.example/fhir/Patient/b/_history/2"),
        member("Group/g"),
        member("Practitioner/p"),
        member("Device/d"),
    )
    assert found == Membership(frozenset("ab"), frozenset("g"), 0)


def test_members_that_name_nothing_here_are_counted() -> None:
    """Logical and contained references, and resources of other servers: so that an export can tell."""
    found = members(
        member("https://elsewhere.example/fhir/Patient/a"),
        member("urn:uuid:1"),
        member("#c"),
        {"entity": {"identifier": {"value": "1"}, "type": "Patient"}},
        {},
    )
    assert found == Membership(unresolved=5)


@pytest.mark.parametrize(
    ("more", "belongs"),
    [
        ({}, True),
        ({"inactive": False}, True),
        ({"inactive": True}, False),
        ({"period": {"start": "2024-01-01"}}, True),
        ({"period": {"start": "2024-06-01T12:00:00Z"}}, True),
        ({"period": {"start": "2024-06-01T12:00:01Z"}}, False),
        ({"period": {"start": "2024-06-02"}}, False),
        ({"period": {"end": "2024-05-31"}}, False),
        ({"period": {"end": "2024-06-01"}}, True),
        ({"period": {"end": "2024-06-01T11:59:59Z"}}, False),
        ({"period": {"end": "2024-06-01T12:00:00Z"}}, True),
        ({"period": {"end": "2024"}}, True),
        ({"period": {"end": "2023"}}, False),
        ({"period": {"start": "2023", "end": "2025"}}, True),
        ({"period": {"start": "2023", "end": "2025"}, "inactive": True}, False),
        ({"period": {}}, True),
        ({"period": {"end": "nonsense"}}, True),
        ({"period": "nonsense"}, True),
    ],
)
def test_inactive_and_former_members_are_left_out(more: JsonObject, belongs: bool) -> None:
    """By the period's precision: an end on a day includes that day."""
    assert members(member("Patient/a", **more), member("Patient/b")).patients == ({"a", "b"} if belongs else {"b"})


@pytest.mark.parametrize("listed", [[], None, "nonsense", [5]])
def test_an_empty_group_has_no_members(listed: object) -> None:
    """And never everyone."""
    assert group_members(group(member=listed), at=T) == Membership()
    assert group_members({"resourceType": "Group"}, at=T) == Membership()


TRAIT: JsonObject = {"code": {"text": "smoker"}, "valueBoolean": True, "exclude": True}


def test_traits_describe_the_members_that_are_listed() -> None:
    """They neither add nor remove any, excluding ones included."""
    assert group_members(group(member("Patient/a"), characteristic=[TRAIT]), at=T).patients == {"a"}


@pytest.mark.parametrize(
    ("resource", "reason"),
    [
        (group(actual=False, characteristic=[TRAIT]), "defined by its characteristics"),
        (group(actual=False), "defined by its characteristics"),
        ({"resourceType": "Group", "membership": "definitional"}, "defined by its characteristics"),
        ({"resourceType": "Group", "membership": "conceptual"}, "defined by its characteristics"),
        (group(characteristic=[TRAIT]), "lists no members"),
        (group(member("Patient/a"), modifierExtension=[{"url": "member-filter"}]), "modifier extension"),
        (group(member("Patient/a", modifierExtension=[{"url": "x"}])), "modifier extension"),
    ],
)
def test_a_group_whose_members_are_not_listed_is_refused(resource: JsonObject, reason: str) -> None:
    """An export of nobody would look like one of an empty group."""
    with pytest.raises(Unsupported, match=reason):
        group_members(resource, at=T)


def test_a_group_of_r5_that_lists_members_has_them() -> None:
    """`membership` took the place of `actual`."""
    listed: JsonObject = {"resourceType": "Group", "membership": "enumerated", "member": [member("Patient/a")]}
    assert group_members(listed, at=T).patients == {"a"}
