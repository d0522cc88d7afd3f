"""Entries of payloads: the table of their states, and what they look like in the store."""

from __future__ import annotations

from itertools import product
from typing import get_args

import pytest

from fhirstore.errors import CorruptRecord
from fhirstore.format.keyspace import Keyspace, Reference, parse_payload_entry, parse_reference
from fhirstore.format.payload import (
    LONGEST_GONE,
    LONGEST_PLAIN,
    NEXT,
    Entry,
    Event,
    Payload,
    State,
    arrived,
    completed,
    decode_entry,
    payload_object,
    rivals_over,
    unused,
    used,
    without,
)
from fhirstore.format.record import Record, decode

HASH = "ab" * 32
ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
MINE, THEIRS = payload_object(ULID), payload_object(ULID[::-1])
STATES: tuple[State | None, ...] = (None, *get_args(State))


def entry(state: State | None, *, others: tuple[str, ...] = (), waste: tuple[str, ...] = ()) -> Entry | None:
    """An entry that names their object."""
    if state is None:
        return None
    return Entry(state, HASH, 5, "" if state == "gone" else THEIRS, "n", others, waste)


def test_the_table_has_every_pair() -> None:
    """Each state and each event, and nothing else."""
    assert set(NEXT) == set(product(STATES, get_args(Event)))
    assert {state for state in NEXT.values() if state is not None} == set(get_args(State))


@pytest.mark.parametrize("state", STATES)
def test_the_functions_keep_to_the_table(state: State | None) -> None:
    """Each makes the state that the table says, or refuses where it does."""
    was = entry(state)
    mine, theirs = Payload(HASH, 5, MINE), Payload(HASH, 5, THEIRS)
    assert arrived(was, mine, "m").state == NEXT[state, "arrive"]
    done = completed(was, THEIRS, "m")
    assert (done and done.state) == NEXT[state, "complete"]
    kept = used(was, theirs, "m")
    assert (kept and kept.state) == NEXT[state, "use"]
    if was is not None:
        assert unused(was, "m").state == NEXT[state, "unused"]


def test_the_first_that_is_complete_becomes_the_object() -> None:
    """The other stays named, until the sweeper has made it waste and removed it."""
    both = arrived(arrived(None, Payload(HASH, 5, THEIRS), "1"), Payload(HASH, 5, MINE), "2")
    assert both.arriving == (MINE, THEIRS)
    assert arrived(both, Payload(HASH, 5, THEIRS), "3").arriving == both.arriving
    live = completed(both, THEIRS, "3")
    assert live is not None
    assert (live.object, live.others) == (THEIRS, (MINE,))
    late = completed(live, MINE, "4")
    assert late is not None
    assert (late.state, late.object) == ("live", THEIRS)
    cleared = rivals_over(live, "5")
    assert (cleared.object, cleared.others, cleared.waste) == (THEIRS, (), (MINE,))
    assert without(cleared, (MINE,), "6").waste == ()


def test_what_is_gone_is_waste_and_never_comes_back() -> None:
    """A new upload is another object; nobody may use or complete the old one."""
    gone = unused(Entry("arriving", HASH, 5, MINE, "n", (THEIRS,)), "m")
    assert (gone.state, gone.object, gone.waste) == ("gone", "", (MINE, THEIRS))
    fresh = arrived(gone, Payload(HASH, 5, payload_object("0" * 26)), "k")
    assert fresh.waste == gone.waste
    assert completed(fresh, MINE, "l") is None
    assert used(fresh, Payload(HASH, 5, MINE), "l") is None


def test_only_the_very_payload_is_used() -> None:
    """Another object, or another size, is none."""
    live = entry("live")
    assert used(live, Payload(HASH, 5, THEIRS), "m") is not None
    assert used(live, Payload(HASH, 5, MINE), "m") is None
    assert used(live, Payload(HASH, 6, THEIRS), "m") is None


@pytest.mark.parametrize("state", get_args(State))
@pytest.mark.parametrize("size", [0, 5 * 2**30, 10**13 - 1])
def test_the_length_of_an_entry_tells_whether_there_is_something_to_remove(state: State, size: int) -> None:
    """So a listing is enough for nearly all."""
    plain = Entry(state, HASH, size, "" if state == "gone" else MINE, ULID)
    assert (len(plain.encode()) <= LONGEST_GONE) == (state == "gone")
    assert len(plain.encode()) <= LONGEST_PLAIN
    if state != "gone":
        assert len(rivals_over(Entry(state, HASH, size, MINE, ULID, (THEIRS,)), ULID).encode()) > LONGEST_PLAIN
    assert decode_entry(plain.encode(), "k") == plain


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        entry("live").encode().replace(HASH.encode(), b"x"),  # type: ignore[union-attr]
        entry("live").encode().replace(THEIRS.encode(), b"resources/x"),  # type: ignore[union-attr]
        entry("live").encode().replace(b'"live"', b'"gone"'),  # type: ignore[union-attr]
        entry("gone").encode().replace(b'"gone"', b'"live"'),  # type: ignore[union-attr]
        entry("live").encode().replace(b'"size":5', b'"size":-5'),  # type: ignore[union-attr]
    ],
)
def test_what_is_no_entry_is_refused_by_its_key(body: bytes) -> None:
    """Nothing is guessed, and no key is made of what stands in it."""
    with pytest.raises(CorruptRecord, match="some/key"):
        decode_entry(body, "some/key")


def test_keys_of_payloads_are_read_back() -> None:
    """Each is recognised below its tenant, and nothing else is."""
    keys = Keyspace.of_tenant("clinic")
    resource = keys.resource("Binary", "a.b-c")
    reference = resource.reference(HASH, 7, ULID)
    assert parse_reference(keys, reference) == Reference(HASH, "Binary", "a.b-c", 7, ULID)
    assert parse_payload_entry(keys, resource.payload_entry(HASH)) == HASH
    assert keys.references(HASH) + "Binary_a.b-c_7_" + ULID == reference
    for strange in (reference + "x/", reference.replace("_7_", "_0_"), keys.prefix + MINE, keys.payload_entry("ab")):
        assert parse_reference(keys, strange) is None
        assert parse_payload_entry(keys, strange) is None


def test_a_record_with_a_payload_is_read_back() -> None:
    """Its place does not hide the resource; a record of the format before has none."""
    payload = Payload(HASH, 5, MINE)
    record = Record(3, 5, "op", "PUT", b'{"resourceType":"Binary"}', payload=payload)
    assert decode(record.encode(), "k").payload == payload
    assert decode(record.encode(), "k").resource == record.resource
    assert decode(record.fenced("n").encode(), "k").payload == payload
    before = b'{"v":1,"t":5,"op":"op","method":"PUT","sha256":"00","resource":{"resourceType":"Binary"}}'
    assert decode(before, "k").payload is None
