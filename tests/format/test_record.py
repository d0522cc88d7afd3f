"""A record is one JSON document with the resource last, found without parsing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirstore.errors import CorruptRecord
from fhirstore.format.record import Record, decode

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
RESOURCES = st.dictionaries(TEXT, TEXT | st.integers() | st.none()).map(
    lambda members: json.dumps({"resourceType": "Basic", **members}, ensure_ascii=False).encode()
)


@given(version=st.integers(1, 10**9), t=st.integers(0, 10**13), resource=RESOURCES, base=TEXT, fence=st.none() | TEXT)
def test_every_record_survives_encoding(version: int, t: int, resource: bytes, base: str, fence: str | None) -> None:
    """Whatever the ETags, nonces and resource hold, decoding gives back what was encoded, and the body is JSON."""
    record = Record(version, t, "01ARZ3NDEKTSV4RRFFQ69G5FAV", "PUT", resource, base=base, prior="X", fence=fence)
    body = record.encode()
    back = decode(body, "k")
    assert (back.version, back.t, back.op, back.base, back.prior, back.fence) == (
        version,
        t,
        record.op,
        base,
        "X",
        fence,
    )
    assert back.resource == resource
    assert back.intact()
    assert json.loads(body)["resource"] == json.loads(resource)


def test_a_base_that_looks_like_the_seam_does_not_move_it() -> None:
    """An ETag holding the very bytes that mark the resource is escaped, so the slice stays right."""
    record = Record(1, 5, "op", "PUT", b'{"a":1}', base='x","resource":{"evil":1}')
    assert decode(record.encode(), "k").resource == b'{"a":1}'


def test_a_tombstone_has_no_resource_and_is_deleted() -> None:
    """A deletion is a version without a resource."""
    back = decode(Record(4, 5, "op", "DELETE").encode(), "k")
    assert back.deleted
    assert back.resource is None


def test_a_fence_changes_the_body_and_nothing_else() -> None:
    """Fencing must move the ETag, which is a hash of the body, and keep the version as it was."""
    record = Record(1, 5, "op", "PUT", b'{"a":1}')
    fenced = record.fenced("nonce")
    assert fenced.encode() != record.encode()
    assert decode(fenced.encode(), "k").resource == record.resource
    assert fenced.fenced("other").encode() != fenced.encode()


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b'{"v":1,"t":1,"op":"x","method":"PUT"}', b'{"v":"1","t":1,"op":"x","method":"DELETE"}'],
)
def test_what_is_no_record_is_refused_by_its_key(body: bytes) -> None:
    """Foreign or damaged objects are named, never guessed at."""
    with pytest.raises(CorruptRecord, match="some/key"):
        decode(body, "some/key")


def test_damage_to_the_resource_shows_in_the_checksum() -> None:
    """One flipped byte is found."""
    body = Record(1, 5, "op", "PUT", b'{"a":1}').encode()
    assert not decode(body.replace(b'{"a":1}', b'{"a":2}'), "k").intact()
