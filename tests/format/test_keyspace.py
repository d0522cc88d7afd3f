"""Keys are injective, stay inside their tenant and can be read back."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirstore.errors import InvalidResource, UnknownTenant
from fhirstore.format.keyspace import Event, IndexEntry, Keyspace, parse_event, parse_index_entry, segment, tenant_id
from fhirstore.index.names import Identifier, system_name
from fhirstore.search.conditional.entries import sort_key

HOSTILE = st.one_of(
    st.text(max_size=80),
    st.sampled_from(["..", ".", "", "/", "a/b", "../x", "%2e%2e", "a\x00", "a\n", "~", "_probe", "A", "é", "a" * 300]),
    st.from_regex(r"\A[A-Za-z0-9.-]{1,64}\Z"),
)
IDS = st.from_regex(r"\A[A-Za-z0-9.-]{1,64}\Z").filter(lambda text: text not in (".", ".."))
TYPES = st.sampled_from(["Patient", "Observation", "Basic"])
OPS = st.from_regex(r"\A[0-9A-Z]{26}\Z")


def inside(key: str, prefix: str) -> bool:
    """Does the key stay below the prefix, however a store or file system normalises it?"""
    return key.startswith(prefix) and posixpath.normpath(key) == key.rstrip("/") and "//" not in key


@given(tenant=HOSTILE, type_=HOSTILE, id_=HOSTILE)
def test_hostile_names_are_refused_or_stay_inside(tenant: str, type_: str, id_: str) -> None:
    """Whatever a client sends as tenant, type or id, no key leaves the tenant's prefix."""
    try:
        keys = Keyspace.of_tenant(tenant).resource(type_, id_)
    except (UnknownTenant, InvalidResource):
        return
    for key in (keys.current, keys.version(1), keys.type_event(1, 1, "PUT", "X"), keys.system_event(1, 1, "PUT", "X")):
        assert inside(key, f"{tenant}/")


@given(st.lists(st.tuples(HOSTILE, HOSTILE), min_size=2, max_size=2, unique=True))
def test_any_submitters_and_submissions_have_their_own_prefix(pairs: list[tuple[str, str]]) -> None:
    """Submitters may be named anything; two of them never share a prefix, nor is one inside the other."""
    one, other = (Keyspace.of_tenant("clinic").submission(*pair) for pair in pairs)
    assert inside(one, "clinic/bulk/submit/")
    assert not one.startswith(other)
    assert not other.startswith(one)


@given(st.lists(st.tuples(TYPES, IDS, st.integers(1, 999)), min_size=2, max_size=2, unique=True))
def test_different_versions_have_different_keys(versions: list[tuple[str, str, int]]) -> None:
    """No two versions of anything share a key."""
    space = Keyspace.of_tenant("clinic")
    one, other = (space.resource(type_, id_).version(version) for type_, id_, version in versions)
    assert one != other


@given(TYPES, IDS, st.integers(0, 9_999_999_999_999), st.integers(1, 10**9), st.sampled_from(["POST", "PUT"]), OPS)
def test_events_are_read_back_from_their_keys(type_: str, id_: str, t: int, version: int, method: str, op: str) -> None:
    """History pages never read event bodies: the key says everything, in both kinds of event."""
    keys = Keyspace.of_tenant("clinic").resource(type_, id_)
    event = Event(t, type_, id_, version, method, op)
    assert parse_event(keys.type_event(t, version, method, op)) == event
    assert parse_event(keys.system_event(t, version, method, op)) == event


@given(st.integers(0, 9_999_999_999_998), IDS, IDS)
def test_events_sort_by_time(t: int, one: str, other: str) -> None:
    """A LIST of a folder of events is in the order of time, whatever the ids."""
    space = Keyspace("")
    earlier = space.resource("Patient", one).type_event(t, 1, "PUT", "A")
    later = space.resource("Patient", other).type_event(t + 1, 1, "PUT", "A")
    assert earlier < later


def test_other_keys_are_no_events() -> None:
    """A key that is no event is an error, not a guess."""
    for key in ("clinic/resources/Patient/1/current.json", "clinic/history/type/Patient/x.json", "system/1.json"):
        with pytest.raises(ValueError, match="not an event"):
            parse_event(key)


@given(st.text(), st.text())
def test_segments_are_injective(one: str, other: str) -> None:
    """Two different names never become one path segment."""
    assert (segment(one) == segment(other)) == (one == other)


@pytest.mark.parametrize("text", ["", "A", "-a", "a-", "a_b", "a.b", "a/b", "..", "a" * 64, "é", "a\n", " a"])
def test_malformed_tenants_are_refused(text: str) -> None:
    """A tenant id is a DNS label: lower case, so that no store that folds case mixes two tenants."""
    with pytest.raises(UnknownTenant):
        tenant_id(text)


@given(TYPES, IDS, IDS, st.none() | st.text(max_size=20), st.text(max_size=20), st.integers(1, 10**9))
def test_index_entries_are_read_back_from_their_keys(
    type_: str, id_: str, other: str, system: str | None, value: str, version: int
) -> None:
    """An entry's key says whose it is and since when; a lookup of its kind lists it, in the order of ids."""
    space = Keyspace.of_tenant("clinic")
    for name in (Identifier(system, value).name, system_name(system or "")):
        key = space.resource(type_, id_).index_entry(name, version)
        assert parse_index_entry(space, key) == IndexEntry(type_, name, id_, version)
        assert key.startswith(space.index(type_, name))
        assert key.startswith(space.index(type_, name.partition("/")[0]))
        assert inside(key, "clinic/identity/")
        if sort_key(id_) != sort_key(other):
            before = space.resource(type_, other).index_entry(name, version) < key
            assert before == (sort_key(other) < sort_key(id_))


def test_nothing_else_is_an_index_entry() -> None:
    """Claims and strangers' keys are told apart from entries."""
    space, value = Keyspace.of_tenant("clinic"), Identifier(None, "7").name.partition("/")[0]
    entry = space.resource("Patient", "a").index_entry(f"{value}/none", 1)
    for key in (
        space.identity_claim("Patient", value),
        entry + "x",
        entry[:-1] + "0",
        entry.replace("_a_", "_.._"),
        space.resource("Patient", "a").index_entry("system/none", 1),
    ):
        with pytest.raises(ValueError, match="index entry"):
            parse_index_entry(space, key)
