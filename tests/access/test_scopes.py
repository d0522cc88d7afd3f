"""The grammar of scopes: what cannot be enforced as it is written is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirstore import Access, Scope, parse_scopes
from fhirstore.access.scopes import MOST_CHARACTERS


@pytest.mark.parametrize(
    ("text", "rights"),
    [
        ("system/Patient.read", "rs"),
        ("system/Patient.write", "cud"),
        ("system/Patient.*", "cruds"),
        ("patient/*.cruds", "cruds"),
        ("user/Observation.rs", "rs"),
        ("system/*.s", "s"),
        ("patient/Observation.rs?category=laboratory", "rs"),
        ("system/*.r?_tag=urn:s|a", "r"),
    ],
)
def test_both_versions_are_read(text: str, rights: str) -> None:
    """Version 1 is a short form of version 2."""
    (scope,), others, refused = parse_scopes(text)
    assert scope.rights == frozenset(rights)
    assert (others, refused) == (frozenset(), ())


@pytest.mark.parametrize(
    "text",
    [
        *("system/Foo.read", "system/patient.read", "admin/Patient.read", "system/Patient", "system/Patient."),
        *("system/Patient.sr", "system/Patient.rr", "system/Patient.reads", "system/Patient.R", "system/.rs"),
        *("system/Patient.rs?", "system/Patient.rs?nope=1", "system/Observation.rs?patient.name=x"),
        *("system/Observation.rs?_sort=date", "system/*.rs?category=laboratory", "system/Patient.read?active=true"),
        *("system/Patient.rs?_has:Observation:patient:code=1", "patient/Patient.rs\x7f", "patient/*.rs\u00e4", "foo"),
        *("system/Patient.rs?birthdate=ap2020", "system/Observation.rs?date=eq2020,ap2021", "system/fhirstore.root"),
        "system/*.cud?_lastUpdated=gt2020",
        "system/Patient.rs?_id:not=p",
    ],
)
def test_what_cannot_be_enforced_is_refused(text: str) -> None:
    """Unknown types, letters out of order, criteria that are not evaluated or whose meaning changes with the time."""
    scopes, others, (refused,) = parse_scopes(text)
    assert (scopes, others) == ((), frozenset())
    assert refused == text or refused.startswith("a scope with")


def test_other_scopes_are_known_by_name() -> None:
    """They grant nothing on resources."""
    scopes, others, refused = parse_scopes("openid launch/patient system/bulk-submit system/fhirstore.admin")
    assert (scopes, refused) == ((), ())
    access = Access("s", "c", "t", scopes, None, others)
    assert (access.admin, access.submits, access.metrics, access.may("r", "Patient")) == (True, True, True, False)


def test_a_list_that_is_too_long_is_refused_whole() -> None:
    """Nothing of it is granted."""
    assert parse_scopes("system/*.rs " * 1000)[::2] == ((), ("a list that is too long",))
    assert parse_scopes("a" * (MOST_CHARACTERS + 1))[0] == ()


@given(st.text(max_size=60), st.sampled_from(("", "system/", "patient/*.", "system/Patient.rs?")))
def test_any_text_is_an_answer(text: str, start: str) -> None:
    """Nothing is raised, whatever a token has; what is granted is written as it was read."""
    scopes, _, _ = parse_scopes(start + text)
    for scope in scopes:
        assert parse_scopes(str(scope))[0] == (scope,)


def test_no_patient_is_in_the_text_of_an_access() -> None:
    """So none comes into a log by repr."""
    scopes, _, _ = parse_scopes("patient/Observation.rs?patient=Patient/secret")
    access = Access("s", "c", "t", scopes, "secret")
    assert "secret" not in repr(access) + repr(scopes)


@pytest.mark.parametrize(
    ("access", "allowed"),
    [
        (Access("s", "c", scopes=parse_scopes("patient/*.rs")[0]), False),
        (Access("s", "c", scopes=parse_scopes("patient/*.rs")[0], patient="p"), True),
        (Access("s", "c", scopes=parse_scopes("user/*.rs")[0]), False),
        (Access("s", "c", scopes=parse_scopes("user/*.rs")[0], user="Patient/p"), True),
        (Access("s", "c", scopes=parse_scopes("user/*.rs")[0], patient="p"), True),
        (Access("s", "c", scopes=parse_scopes("user/*.rs")[0], patient="p", user="Practitioner/x"), False),
        (Access("s", "c", scopes=parse_scopes("user/*.rs")[0], user="Practitioner/x", users_reach_tenant=True), True),
        (Access("s", "c", scopes=parse_scopes("user/*.rs")[0], users_reach_tenant=True), False),
    ],
)
def test_contexts_need_what_they_are_about(access: Access, allowed: bool) -> None:
    """A patient scope without a patient grants nothing, and a user scope without a user."""
    assert access.may("r", "Observation") is allowed


@pytest.mark.parametrize("user", ["RelatedPerson/mother", "Person/p", "Person/-"])
def test_only_staff_reaches_the_tenant(user: str) -> None:
    """A relative, a person who may be a patient, and a user of another server (`Person/-`) reach nothing."""
    assert not Access("s", "c", scopes=parse_scopes("user/*.rs")[0], user=user, users_reach_tenant=True).may(
        "r", "Group"
    )


def test_a_patient_as_user_does_not_reach_the_tenant() -> None:
    """Whatever the setting says about other users."""
    scopes, _, _ = parse_scopes("user/*.rs")
    access = Access("s", "c", scopes=scopes, user="Patient/p", users_reach_tenant=True)
    assert access.compartment(Scope("user", "*", frozenset("rs"))) == "p"
    assert not access.whole(scopes[0])
