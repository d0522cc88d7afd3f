"""A7, A14: contents of any size are streamed in and out, kept once, and verified; on every kind of store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from fhirstore import ContentTooLarge, FhirStore, ObjectDamaged, Payload, PayloadGone, PayloadMismatch, TenantStore
from fhirstore.errors import InvalidResource, RulesBroken, StoreCannot
from fhirstore.objects import ObjectStore
from fhirstore.objects.memory import MemoryStore
from fhirstore.tenancy import PrefixTenancy
from tests.uploads.contents import BINARY, LARGE, LONG, content_of, keys_below, pieces, sha256


async def test_a7_a_content_is_streamed_in_and_out(clinic: TenantStore, objects: ObjectStore) -> None:
    """By multipart where it is large; all of it and any range come back; its object lies under a name of its own."""
    for content in (LARGE, LONG, b""):
        told: list[int] = []
        payload = await clinic.payloads.receive(pieces(content), content_type="text/plain", progress=told.append)
        assert (payload.sha256, payload.size) == (sha256(content), len(content))
        assert await content_of(clinic, payload) == content
        assert await content_of(clinic, payload, 7, 11) == content[7:11]
        assert content is not LARGE or told[-1] == len(content)
        assert payload.object.startswith("binary/payload/")
        assert (await objects.stat(f"clinic/{payload.object}")).content_type == "text/plain"
        await clinic.payloads.verify(payload)
    assert (await objects.list_uploads("clinic/")).uploads == ()


async def test_a11_equal_contents_are_stored_once(clinic: TenantStore, objects: ObjectStore) -> None:
    """One after another, and at the same time."""
    first = await clinic.payloads.receive(pieces(LARGE))
    again = await clinic.payloads.receive(pieces(LARGE, 1_000_000))
    assert again == first
    together = await asyncio.gather(*[clinic.payloads.receive(pieces(LONG)) for _ in range(4)])
    assert len(set(together)) == 1
    assert sorted(await keys_below(objects, "binary/payload/")) == sorted(
        one.object.removeprefix("binary/payload/") for one in (first, together[0])
    )
    assert (await objects.list_uploads("clinic/")).uploads == ()


@pytest.mark.parametrize("size", [500_000, len(LARGE)])
async def test_an_upload_that_fails_leaves_nothing(clinic: TenantStore, objects: ObjectStore, size: int) -> None:
    """No object, no entry, no multipart upload."""

    class CutOffError(Exception):
        pass

    async def cut_off() -> AsyncIterator[bytes]:
        async for piece in pieces(LARGE[:size]):
            yield piece
        raise CutOffError

    with pytest.raises(CutOffError):
        await clinic.payloads.receive(cut_off())
    assert await keys_below(objects, "") == []
    assert (await objects.list_uploads("clinic/")).uploads == ()


async def test_what_was_not_promised_is_refused(clinic: TenantStore, objects: ObjectStore) -> None:
    """Too long, another size, another hash: nothing is stored."""
    receive = clinic.payloads.receive
    with pytest.raises(ContentTooLarge):
        await receive(pieces(LARGE), most=len(LARGE) - 1)
    for content in (LARGE, LONG):
        with pytest.raises(PayloadMismatch):
            await receive(pieces(content), size=len(content) - 1)
        with pytest.raises(PayloadMismatch):
            await receive(pieces(content), size=len(content) + 1)
        with pytest.raises(PayloadMismatch):
            await receive(pieces(content), sha256=sha256(b"another"))
    assert await keys_below(objects, "") == []
    assert (await objects.list_uploads("clinic/")).uploads == ()
    kept = await receive(pieces(LONG), most=len(LONG), size=len(LONG), sha256=sha256(LONG).upper())
    assert kept.size == len(LONG)


async def test_a_binary_refers_to_its_content(clinic: TenantStore, objects: ObjectStore) -> None:
    """Every read tells where it is; whoever writes the Binary back keeps it; a hash alone is no key to a content."""
    payload = await clinic.payloads.receive(pieces(LONG))
    made = await clinic.create_binary(BINARY, payload)
    assert made.created
    assert made.payload == payload
    assert "data" not in made.json()
    read = await clinic.read("Binary", made.id)
    assert (read.content, read.payload) == (made.content, payload)
    assert (await clinic.vread("Binary", made.id, 1)).payload == payload
    assert [one.payload async for one in clinic.history("Binary", made.id)] == [payload]
    changed = await clinic.update({**read.json(), "contentType": "text/css"})
    assert (changed.version_id, changed.payload) == (2, payload)
    with pytest.raises(RulesBroken):
        await clinic.create(read.json())
    with pytest.raises(RulesBroken):
        await clinic.update({**read.json(), "id": "another"})
    put = await clinic.create_binary({**BINARY, "id": made.id}, payload, id=made.id, if_match=2)
    assert (put.version_id, put.payload, put.created) == (3, payload, False)
    assert len(await keys_below(objects, f"binary/{payload.sha256}/refs/")) == 3


async def test_a_content_that_is_not_there_any_more_cannot_be_committed(
    clinic: TenantStore, objects: ObjectStore
) -> None:
    """Whether its entry is gone or names another object, PayloadGone says to upload it again; nothing was written."""
    payload = await clinic.payloads.receive(pieces(LONG))
    other = Payload(payload.sha256, payload.size, clinic.payloads.new_object())
    never = Payload(sha256(b"never"), 5, payload.object)
    for lost in (other, never):
        with pytest.raises(PayloadGone):
            await clinic.create_binary(BINARY, lost)
    assert not any(key.endswith("current.json") for key in await keys_below(objects, "resources/"))
    assert (await clinic.create_binary(BINARY, payload)).payload == payload


async def test_an_object_that_was_written_directly_is_adopted(clinic: TenantStore, objects: ObjectStore) -> None:
    """Once or more often, as it is or as a copy; where its content is there already, that is shared."""
    payloads = clinic.payloads
    name = payloads.new_object()
    with pytest.raises(Exception, match=name):
        await payloads.adopt(name, sha256=sha256(LONG), size=len(LONG))
    await objects.put(payloads.key(name), LONG)
    with pytest.raises(PayloadMismatch):
        await payloads.adopt(name, sha256=sha256(LONG), size=3)
    adopted = await asyncio.gather(*[payloads.adopt(name, sha256=sha256(LONG), size=len(LONG)) for _ in range(3)])
    assert set(adopted) == {Payload(sha256(LONG), len(LONG), name)}
    await objects.put("clinic/binary/incoming/1", LARGE)
    copied = await payloads.adopt("binary/incoming/1", sha256=sha256(LARGE), size=len(LARGE), copy=True)
    assert await content_of(clinic, copied) == LARGE
    second = payloads.new_object()
    await objects.put(payloads.key(second), LONG)
    assert (await payloads.adopt(second, sha256=sha256(LONG), size=len(LONG))).object == name
    assert (await objects.stat(payloads.key(second))).size == len(LONG)  # its caller deletes it


async def test_a14_a_content_is_verified_on_demand(clinic: TenantStore, objects: ObjectStore) -> None:
    """Other bytes are found, and so is a content that is missing."""
    payload = await clinic.payloads.receive(pieces(LONG))
    await clinic.payloads.verify(payload)
    await objects.put(f"clinic/{payload.object}", LONG[::-1])
    with pytest.raises(ObjectDamaged, match="another SHA-256"):
        await clinic.payloads.verify(payload)
    await objects.delete(f"clinic/{payload.object}")
    with pytest.raises(ObjectDamaged, match="missing"):
        await clinic.payloads.verify(payload)


async def test_only_s3_gives_urls(clinic: TenantStore, objects: ObjectStore) -> None:
    """Elsewhere StoreCannot says so."""
    payload = await clinic.payloads.receive(pieces(LONG))
    if objects.location.startswith("s3:"):
        assert payload.object in await clinic.payloads.presigned_get(payload, expires_in=60, filename="a.pdf")
    else:
        with pytest.raises(StoreCannot):
            await clinic.payloads.presigned_get(payload, expires_in=60)


@pytest.mark.parametrize(
    "strange",
    [Payload("zz", 1, "binary/payload/A"), Payload("0" * 64, -1, "binary/payload/A"), Payload("0" * 64, 1, "../a")],
)
async def test_what_is_no_payload_is_refused(strange: Payload) -> None:
    """Nothing is written, so no key is made of it."""
    objects = MemoryStore()
    clinic = FhirStore(PrefixTenancy(objects, None)).tenant("clinic")
    with pytest.raises(InvalidResource):
        await clinic.create_binary({**BINARY, "id": "x"}, strange, id="x")
    assert (await objects.list("")).objects == ()
