"""The identifiers of a resource, and what the index calls them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirstore.fhir.definitions.load import definitions
from fhirstore.index.names import (
    Identifier,
    identifiers,
    is_whole,
    names,
    new_names,
    system_name,
    value_hash,
    without_the_rest,
)

_TEXT = st.text(max_size=20)
_IDENTIFIERS = st.lists(st.tuples(st.none() | _TEXT, _TEXT), max_size=4)


def patient(carried: list[tuple[str | None, str]]) -> bytes:
    """A Patient with these systems and values."""
    return json.dumps(
        {
            "resourceType": "Patient",
            "identifier": [
                {"value": value} if system is None else {"system": system, "value": value} for system, value in carried
            ],
            "generalPractitioner": [{"identifier": {"system": "s", "value": "of somebody else"}}],
        }
    ).encode()


@given(_IDENTIFIERS)
def test_every_identifier_is_found_once(carried: list[tuple[str | None, str]]) -> None:
    """Systems and values come out as they stand there; those of references are none of the resource's own."""
    found = identifiers("Patient", patient(carried))
    assert found == tuple(dict.fromkeys(Identifier(system, value) for system, value in carried))


@given(st.tuples(st.none() | _TEXT, _TEXT), st.tuples(st.none() | _TEXT, _TEXT))
def test_different_identifiers_have_different_names(one: tuple[str | None, str], other: tuple[str | None, str]) -> None:
    """A name stands for one system and value; without a system is not the same as with an empty one."""
    assert (Identifier(*one).name == Identifier(*other).name) == (one == other)


@given(_IDENTIFIERS, _IDENTIFIERS)
def test_only_what_the_version_before_lacks_is_new(
    now: list[tuple[str | None, str]], before: list[tuple[str | None, str]]
) -> None:
    """An update names what it adds, also when only a stand-in of the version before is at hand."""
    expected = [name for name in names("Patient", patient(now)) if name not in names("Patient", patient(before))]
    assert list(new_names("Patient", patient(now), patient(before))) == expected
    assert list(new_names("Patient", patient(now), without_the_rest(patient(before)))) == expected
    assert is_whole(patient(now))
    assert not is_whole(without_the_rest(patient(now)))
    assert new_names("Patient", patient(now), None) == names("Patient", patient(now))


def test_a_value_has_one_hash_in_all_systems() -> None:
    """The first half of a name is the value's, so that a search without a system finds it."""
    assert (
        Identifier("a", "7").name.partition("/")[0] == Identifier(None, "7").name.partition("/")[0] == value_hash("7")
    )


def test_identifiers_stand_where_the_search_parameter_looks() -> None:
    """One object, a master identifier, an identifier of an instance: each as its type has it."""
    one = b'{"resourceType":"Bundle","identifier":{"value":"b"}}'
    master = b'{"resourceType":"DocumentReference","masterIdentifier":{"value":"m"},"identifier":[{"value":"i"}]}'
    instance = b'{"resourceType":"NutritionProduct","instance":[{"identifier":[{"value":"n"}]},{}]}'
    assert identifiers("Bundle", one) == (Identifier(value="b"),)
    assert identifiers("DocumentReference", master) == (Identifier(value="i"), Identifier(value="m"))
    assert identifiers("Basic", master) == (Identifier(value="i"),)
    assert identifiers("NutritionProduct", instance) == (Identifier(value="n"),)


def test_each_system_has_one_name_beside_those_of_values() -> None:
    """However many identifiers of it there are; nothing that a value has for a hash looks like it."""
    carried = [("s", "1"), ("s", "2"), ("t", "1"), (None, "1")]
    values = [Identifier(*one).name for one in carried]
    assert names("Patient", patient(carried)) == (*values, system_name("s"), system_name("t"))


@pytest.mark.parametrize("release", ["4.0", "4.3", "5.0"])
def test_every_release_searches_where_its_parameter_says(release: str) -> None:
    """For each type, as the official expression has it, in a resource that has identifiers wherever any type does."""
    facts = definitions(release)
    for type_, parameters in facts.search_parameters.items():
        if "identifier" not in parameters:
            continue
        paths = {path.strip(" ()") for path in parameters["identifier"].expression.split("|")}
        own = {path.removeprefix(f"{type_}.") for path in paths if path.startswith(f"{type_}.")}
        assert own <= set(_PLACES)
        body = b",".join(
            part for path, part in _PLACES.items() if path.partition(".")[0] in facts.types[type_].elements
        )
        found = identifiers(type_, b"{" + body + b"}", release=release)
        assert {one.value for one in found} == own
        assert set(found) <= set(identifiers(type_, b"{" + body + b"}"))


_PLACES = {
    "identifier": b'"identifier":[{"value":"identifier"}]',
    "masterIdentifier": b'"masterIdentifier":{"value":"masterIdentifier"}',
    "instance.identifier": b'"instance":[{"identifier":[{"value":"instance.identifier"}]}]',
    "qualification.identifier": b'"qualification":[{"identifier":[{"value":"qualification.identifier"}]}]',
}
"""Where any type's parameter looks, each with its own name for a value."""


def test_what_is_malformed_counts_as_none() -> None:
    """Where nothing is validated, the index leaves out what it cannot read; without a value the system counts."""
    for resource in (
        b'{"identifier":7}',
        b'{"identifier":[{"value":7}]}',
        b'"identifier"',
        b'{"identifier":',
        b'{"instance":{"identifier":1}}',
    ):
        assert identifiers("NutritionProduct", resource) == ()
    assert names("Patient", b'{"identifier":[{"system":"s"},{"use":"old"}]}') == (system_name("s"),)
    assert names("Patient", None) == ()
