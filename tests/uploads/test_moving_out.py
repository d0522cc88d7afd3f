"""A Binary with much `data` is stored with its content outside, whichever interaction writes it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from msgspec.structs import replace

from fhirstore import FhirStore, JsonPatch, MergePatch, TenantStore, Version
from fhirstore.clock import SystemIds
from fhirstore.commit.drive import drive
from fhirstore.commit.limits import Context, Limits
from fhirstore.commit.moving_out import moved_out
from fhirstore.errors import RulesBroken
from fhirstore.fhir import json
from fhirstore.format.keyspace import Keyspace
from fhirstore.format.marker import marked, with_marker, without_marker
from fhirstore.objects import ObjectStore
from fhirstore.objects.facts import UNTYPED, Facts
from fhirstore.objects.memory import MemoryStore
from fhirstore.tenancy import PrefixTenancy
from tests.uploads.contents import BINARY, LONG, content_of, keys_below, sha256, with_data

Write = Callable[[TenantStore], Awaitable[Version]]


async def _bundle(clinic: TenantStore, kind: str) -> Version:
    entry = {"resource": with_data(LONG, id="x"), "request": {"method": "PUT", "url": "Binary/x"}}
    await clinic.process({"resourceType": "Bundle", "type": kind, "entry": [entry]})
    return await clinic.read("Binary", "x")


async def _patched(clinic: TenantStore) -> Version:
    await clinic.update({**BINARY, "id": "x"})
    return await clinic.patch("Binary", "x", MergePatch({"data": with_data(LONG)["data"]}))


WRITES: dict[str, Write] = {
    "create": lambda clinic: clinic.create(with_data(LONG)),
    "create with a key": lambda clinic: clinic.create(with_data(LONG), idempotency_key="k"),
    "update": lambda clinic: clinic.update(with_data(LONG, id="x")),
    "conditional update": lambda clinic: clinic.conditional_update(with_data(LONG, id="x"), "_id=x"),
    "batch": lambda clinic: _bundle(clinic, "batch"),
    "transaction": lambda clinic: _bundle(clinic, "transaction"),
    "patch": _patched,
}


@pytest.mark.parametrize("how", WRITES)
async def test_every_write_moves_a_large_content_out(how: str) -> None:
    """The record has a marker; the content is what was sent."""
    clinic = FhirStore(PrefixTenancy(MemoryStore(), None), inline_bytes=1_000).tenant("clinic")
    made = await WRITES[how](clinic)
    assert made.payload is not None
    assert marked(made.content) == (sha256(LONG), len(LONG))
    assert b'"data"' not in made.content
    assert await content_of(clinic, made.payload) == LONG


async def test_on_every_store(clinic: TenantStore, objects: ObjectStore) -> None:
    """Alone and in a transaction; two Binaries with one content share it."""
    made = await clinic.create(with_data(LONG))
    entries = [
        {"resource": with_data(LONG), "request": {"method": "POST", "url": "Binary"}},
        {"resource": with_data(LONG[1:], id="y"), "request": {"method": "PUT", "url": "Binary/y"}},
    ]
    await clinic.process({"resourceType": "Bundle", "type": "transaction", "entry": entries})
    other = await clinic.read("Binary", "y")
    assert made.payload is not None
    assert other.payload is not None
    assert await content_of(clinic, other.payload) == LONG[1:]
    assert len(await keys_below(objects, "binary/payload/")) == 2
    assert len(await keys_below(objects, f"binary/{made.payload.sha256}/refs/")) == 2


async def test_a_small_content_stays_where_it_is() -> None:
    """Up to the threshold, not above it."""
    objects = MemoryStore()
    clinic = FhirStore(PrefixTenancy(objects, None), inline_bytes=1_000).tenant("clinic")
    inline = await clinic.create(with_data(b"x" * 1_000))
    outside = await clinic.create(with_data(b"x" * 1_001))
    assert inline.payload is None
    assert "data" in inline.json()
    assert outside.payload is not None
    assert len(await keys_below(objects, "binary/payload/")) == 1


async def test_data_and_the_marker_change_places() -> None:
    """Data over a marker is a new content; a small one goes into the record; a patch of other members keeps it."""
    clinic = FhirStore(PrefixTenancy(MemoryStore(), None), inline_bytes=1_000).tenant("clinic")
    made = await clinic.create(with_data(LONG))
    patched = await clinic.patch(
        "Binary", made.id, JsonPatch.parse(b'[{"op":"replace","path":"/contentType","value":"a/b"}]')
    )
    assert patched.payload == made.payload
    small = await clinic.update({**patched.json(), "data": "QUJD"})
    assert small.payload is None
    with pytest.raises(RulesBroken):  # it is in an older version, not in the current one
        await clinic.update(patched.json())
    large = await clinic.update({**patched.json(), "data": with_data(LONG[3:])["data"]})
    assert large.payload is not None
    assert large.payload.sha256 == sha256(LONG[3:])
    assert large.content.count(b"StructureDefinition/payload") == 1
    assert await clinic.delete("Binary", made.id) is not None


async def test_a_content_that_is_there_already_changes_nothing() -> None:
    """Where unchanged resources are skipped, the data is compared with the content outside."""
    clinic = FhirStore(PrefixTenancy(MemoryStore(), None), inline_bytes=1_000).tenant("clinic")
    await clinic.update(with_data(LONG, id="x"))
    assert (await clinic.update(with_data(LONG, id="x"), skip_unchanged=True)).version_id == 1
    assert (await clinic.update(with_data(LONG[1:], id="x"), skip_unchanged=True)).version_id == 2


async def test_what_is_no_base64_stays() -> None:
    """Without validation it is stored as it came."""
    clinic = FhirStore(PrefixTenancy(MemoryStore(), None), inline_bytes=10, validation="off").tenant("clinic")
    made = await clinic.create({**BINARY, "data": "no base64 at all!"})
    assert made.payload is None
    assert made.json()["data"] == "no base64 at all!"


def test_a_marker_leaves_other_extensions_alone() -> None:
    """It is put in and taken out beside them; without a hash or a size it names nothing."""
    other = {"url": "urn:other", "valueString": "x"}
    binary: dict[str, object] = {"resourceType": "Binary", "_data": {"id": "i", "extension": [other]}, "data": "QQ=="}
    there = with_marker(binary, "ab", 3)
    assert there["_data"] == {"id": "i", "extension": [other, with_marker({}, "ab", 3)["_data"]["extension"][0]]}  # type: ignore[index]
    assert with_marker(there, "ab", 3) == there
    assert without_marker(there) == {"resourceType": "Binary", "_data": {"id": "i", "extension": [other]}}
    assert without_marker(with_marker({"resourceType": "Binary"}, "ab", 3)) == {"resourceType": "Binary"}
    assert marked(b'{"resourceType":"Patient","x":"urn:fhirstore:StructureDefinition/payload"}') is None
    broken = b'{"resourceType":"Binary","_data":{"extension":[{"url":"urn:fhirstore:StructureDefinition/payload"}]}}'
    assert marked(broken) == ("", 0)


@pytest.mark.parametrize(
    "escaped", ["urn:fhirstore:StructureDefinition\\/payload", "\\u0075rn:fhirstore:StructureDefinition/payload"]
)
async def test_an_escaped_marker_is_one(escaped: str) -> None:
    """Whoever writes "/" as "\\/" keeps the content, too, and cannot refer to a content without a right to it."""
    clinic = FhirStore(PrefixTenancy(MemoryStore(), None), inline_bytes=1_000).tenant("clinic")
    made = await clinic.update(with_data(LONG, id="x"))
    text = made.content.replace(b"urn:fhirstore:StructureDefinition/payload", escaped.encode())
    assert text != made.content
    kept = await clinic.update(text.replace(b"text/plain", b"text/css"))
    assert kept.payload == made.payload
    again = await clinic.update(text.replace(b"text/plain", b"text/css"), skip_unchanged=True)
    assert again.version_id == kept.version_id
    with pytest.raises(RulesBroken):
        await clinic.update(text.replace(b'"id":"x"', b'"id":"y"'))


async def test_the_facts_of_an_object_are_made_by_the_context() -> None:
    """Its content type, if a store accepts it, and what the context adds."""
    objects = MemoryStore()
    context = Context(objects.now, SystemIds(), Limits(inline_bytes=10))
    tagged = replace(context, facts=lambda kind: Facts(content_type=kind, tags={"kind": "payload"}))
    keys = Keyspace("").resource("Binary", "x")
    for number, (using, sent, kept) in enumerate(
        [(context, "text/plain", "text/plain"), (tagged, "a/b", "a/b"), (context, "é", UNTYPED), (tagged, "é", UNTYPED)]
    ):
        resource = json.encode(with_data(LONG + bytes([number]), contentType=sent))
        moved = await drive(moved_out(keys, resource, {}, context=using), objects)
        assert moved is not None
        assert (await objects.stat(moved.payload.object)).content_type == kept
        assert await objects.get_tags(moved.payload.object) == ({"kind": "payload"} if using is tagged else {})
