"""Direct uploads: what is sent to the store itself, or in parts, becomes one Binary, or nothing."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator

import httpx
import pytest

from fhirstore import (
    BegunUpload,
    FhirStore,
    TenantStore,
    TicketRefused,
    UploadConflict,
    UploadGone,
    UploadRefused,
    UploadRequest,
    Version,
)
from fhirstore.errors import InvalidResource, NotFound, ObjectNotFound
from fhirstore.objects import ObjectStore, PresignedPost, PresignedPut
from fhirstore.transfers.record import claimed, decode_upload
from tests.transfers.conftest import S3, WITHOUT_URLS

LARGEST = 1 << 30
PART = 5 * 1024 * 1024
CONTENT = os.urandom(40_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
AT_ONCE = -5_000  # ms: whatever the clocks say, a record is older than that

everywhere = pytest.mark.parametrize("objects", [*WITHOUT_URLS, *S3], indirect=True)
on_s3 = pytest.mark.parametrize("objects", S3, indirect=True)
without_urls = pytest.mark.parametrize("objects", WITHOUT_URLS, indirect=True)


async def begin(tenant: TenantStore, method: str, **said: object) -> BegunUpload:
    facts: dict[str, object] = {"content_type": "application/pdf", "size": len(CONTENT), "method": method, **said}
    return await tenant.uploads.begin(UploadRequest(**facts), largest=LARGEST)  # type: ignore[arg-type] # by name


async def pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 16_384):
        yield content[start : start + 16_384]


async def send(tenant: TenantStore, begun: BegunUpload, content: bytes = CONTENT) -> int:
    """Sends all content as a client would. Returns the status of S3; 200 without."""
    id_ = begun.upload.id
    if begun.how is None:
        for start in range(0, len(content), begun.upload.part_size):
            part = content[start : start + begun.upload.part_size]
            upload, number = await tenant.uploads.open_part(id_, start, start + len(part), None)
            await tenant.uploads.put_part(upload, number, part)
        return 200
    if isinstance(begun.how, dict):
        await tenant.uploads.receive(await tenant.uploads.admitted(id_, begun.how), pieces(content))
        return 200
    async with httpx.AsyncClient(trust_env=False) as client:
        if isinstance(begun.how, PresignedPut):
            return (await client.put(begun.how.url, headers=dict(begun.how.headers), content=content)).status_code
        files = {"file": ("name.pdf", content)}
        return (await client.post(begun.how.url, data=dict(begun.how.fields), files=files)).status_code


async def content_of(tenant: TenantStore, version: Version) -> bytes:
    assert version.payload is not None
    async with tenant.payloads.open(version.payload) as stream:
        return b"".join([chunk async for chunk in stream])


async def keys_below(objects: ObjectStore, prefix: str) -> list[str]:
    return [item.key for item in (await objects.list(prefix)).objects]


@everywhere
@pytest.mark.parametrize("method", ["put", "post", "parts"])
async def test_becomes_a_binary(tenant: TenantStore, objects: ObjectStore, method: str) -> None:
    """However it is sent, it is a Binary once it is completed, and not before; a repeated completion has the same."""
    begun = await begin(tenant, method, sha256=SHA256, security_context="Patient/1")
    with pytest.raises(UploadConflict):
        if isinstance(begun.how, dict):  # nothing to check there: a server has it or not
            raise UploadConflict("")
        await tenant.uploads.complete(begun.upload.id)
    assert await send(tenant, begun) < 300
    assert not [version async for version in tenant.history("Binary")]
    done = await tenant.uploads.complete(begun.upload.id, sha256=SHA256, size=len(CONTENT))
    assert done.version is not None
    assert done.created
    assert await content_of(tenant, done.version) == CONTENT
    assert b'"contentType":"application/pdf"' in done.version.content
    assert b'"Patient/1"' in done.version.content
    again = await tenant.uploads.complete(begun.upload.id)
    assert (again.version, again.created) == (done.version, False)
    assert len([version async for version in tenant.history("Binary")]) == 1
    assert len(await keys_below(objects, "a/binary/payload/")) == 1
    assert await keys_below(objects, "a/binary/incoming/") == []


@everywhere
async def test_parts_resume(store: FhirStore, tenant: TenantStore) -> None:
    """Parts come in any order, from any process, again if need be; the status says which are missing."""
    content = os.urandom(2 * PART + 1000)
    begun = await begin(tenant, "parts", size=len(content), part_size=PART)
    id_ = begun.upload.id

    async def part(number: int) -> None:
        start = (number - 1) * PART
        other = store.tenant("a").uploads
        upload, found = await other.open_part(id_, start, min(start + PART, len(content)), len(content))
        assert found == number
        await other.put_part(upload, number, content[start : start + PART])

    assert (await tenant.uploads.status(id_)).missing == (1, 2, 3)
    await part(3)
    status = await tenant.uploads.status(id_)
    assert (status.received, status.missing) == (1000, (1, 2))
    with pytest.raises(UploadConflict, match="2 of 3 parts"):
        await tenant.uploads.complete(id_)
    await asyncio.gather(part(1), part(2))
    await part(2)
    assert (await tenant.uploads.status(id_)).missing == ()
    done = await tenant.uploads.complete(id_)
    assert done.version is not None
    assert await content_of(tenant, done.version) == content


@everywhere
async def test_a_part_sent_with_two_contents_is_asked_for_again(tenant: TenantStore) -> None:
    """Which of the two the store has is not known, so neither counts."""
    content = os.urandom(PART + 10)
    begun = await begin(tenant, "parts", size=len(content), part_size=PART)
    await send(tenant, begun, content)
    upload, number = await tenant.uploads.open_part(begun.upload.id, PART, PART + 10, None)
    await tenant.uploads.put_part(upload, number, b"0123456789")
    with pytest.raises(UploadConflict, match="different contents"):
        await tenant.uploads.complete(begun.upload.id)
    assert (await tenant.uploads.status(begun.upload.id)).missing == (2,)
    await tenant.uploads.put_part(upload, number, content[PART:])
    done = await tenant.uploads.complete(begun.upload.id)
    assert done.version is not None
    assert await content_of(tenant, done.version) == content


@everywhere
async def test_what_no_part_can_be_is_refused(tenant: TenantStore) -> None:
    """A part begins at a multiple of the part size and is whole."""
    begun = await begin(tenant, "parts", size=2 * PART, part_size=PART)
    for start, end, total in ((1, PART + 1, None), (0, PART - 1, None), (PART, 3 * PART, None), (0, PART, PART)):
        with pytest.raises(InvalidResource):
            await tenant.uploads.open_part(begun.upload.id, start, end, total)
    upload, number = await tenant.uploads.open_part(begun.upload.id, 0, PART, 2 * PART)
    with pytest.raises(InvalidResource):
        await tenant.uploads.put_part(upload, number, b"short")


@everywhere
@pytest.mark.parametrize("method", ["put", "post", "parts"])
async def test_other_content_than_promised_is_refused_and_removed(
    tenant: TenantStore, objects: ObjectStore, method: str
) -> None:
    """No Binary comes of it, its object is gone, and the answer stays the same."""
    begun = await begin(tenant, method)
    assert await send(tenant, begun) < 300
    for _ in range(2):
        with pytest.raises(UploadRefused, match="SHA-256"):
            await tenant.uploads.complete(begun.upload.id, sha256="0" * 64)
    assert not [version async for version in tenant.history("Binary")]
    if begun.how is None or begun.upload.direct:  # else the payload is shared, and swept like any other
        assert await keys_below(objects, "a/binary/payload/") == []


@everywhere
async def test_equal_contents_are_stored_once(tenant: TenantStore, objects: ObjectStore) -> None:
    """Two uploads of one content make two Binaries and keep one object."""
    done = []
    for method in ("put", "post"):
        begun = await begin(tenant, method)
        await send(tenant, begun)
        done.append((await tenant.uploads.complete(begun.upload.id)).version)
    first, second = done
    assert first is not None
    assert second is not None
    assert first.id != second.id
    assert first.payload == second.payload
    assert len(await keys_below(objects, "a/binary/payload/")) == 1


@everywhere
async def test_a_long_verification_goes_on_without_its_caller(tenant: TenantStore) -> None:
    """A caller that does not wait is told that it goes on; a later call has the Binary."""
    content = os.urandom(PART + 1)
    begun = await begin(tenant, "parts", size=len(content), part_size=PART)
    await send(tenant, begun, content)
    first = await tenant.uploads.complete(begun.upload.id, wait=0)
    assert first.version is None
    done = await tenant.uploads.complete(begun.upload.id, wait=60)
    assert done.version is not None
    assert await content_of(tenant, done.version) == content


@everywhere
async def test_a_completion_that_died_is_taken_over(tenant: TenantStore, objects: ObjectStore) -> None:
    """Once its lease has ended; until then another call waits for it."""
    begun = await begin(tenant, "parts")
    await send(tenant, begun)
    key = f"a/binary/uploads/{begun.upload.id}.json"
    dead = claimed(decode_upload((await objects.get(key)).body, key), "dead", now=objects.now(), length=700, copy=False)
    assert dead is not None
    await objects.put(key, dead.encode())
    assert (await tenant.uploads.complete(begun.upload.id, wait=0)).upload.owner == "dead"
    done = await tenant.uploads.complete(begun.upload.id, wait=30)
    assert done.version is not None
    assert await content_of(tenant, done.version) == CONTENT


@everywhere
async def test_many_completions_make_one_binary(store: FhirStore, tenant: TenantStore) -> None:
    """However many complete at once, there is one Binary, and all get it."""
    begun = await begin(tenant, "put")
    await send(tenant, begun)
    others = [FhirStore(store.tenancy).tenant("a").uploads for _ in range(4)]
    done = await asyncio.gather(*[uploads.complete(begun.upload.id) for uploads in others])
    assert len({one.version for one in done}) == 1
    assert sum(one.created for one in done) == 1
    assert len([version async for version in tenant.history("Binary")]) == 1


@on_s3
async def test_a_presigned_put_writes_once(tenant: TenantStore) -> None:
    """Neither before the completion nor after it can the content be replaced by the same URL."""
    begun = await begin(tenant, "put", size=None, most=100_000)
    assert await send(tenant, begun) == 200
    assert await send(tenant, begun, b"other") == 412
    done = await tenant.uploads.complete(begun.upload.id)
    assert await send(tenant, begun, b"other") == 412
    assert done.version is not None
    assert await content_of(tenant, done.version) == CONTENT


@on_s3
async def test_a_form_sent_again_changes_no_binary(tenant: TenantStore, objects: ObjectStore) -> None:
    """A form can be sent until it expires, but what it writes is not the object of the Binary; the sweep removes it."""
    begun = await begin(tenant, "post")
    assert await send(tenant, begun) == 204
    done = await tenant.uploads.complete(begun.upload.id)
    assert await send(tenant, begun, bytes(len(CONTENT))) == 204
    assert done.version is not None
    assert await content_of(tenant, done.version) == CONTENT
    assert len(await keys_below(objects, "a/binary/incoming/")) == 1
    assert await tenant.uploads.sweep(age=AT_ONCE, kept=AT_ONCE) == 1
    assert await keys_below(objects, "a/binary/incoming/") == []
    assert await keys_below(objects, "a/binary/uploads/") == []
    assert await content_of(tenant, done.version) == CONTENT


@on_s3
async def test_the_store_refuses_what_was_not_promised(tenant: TenantStore) -> None:
    """Size, hash and type are signed: S3 refuses other content before this server sees it."""
    exact = await begin(tenant, "put")
    assert await send(tenant, exact, b"short") == 403
    hashed = await begin(tenant, "put", sha256=SHA256)
    assert await send(tenant, hashed, bytes(len(CONTENT))) == 400
    form = await begin(tenant, "post", size=None, most=10)
    assert isinstance(form.how, PresignedPost)
    assert await send(tenant, form) == 400
    assert isinstance(exact.how, PresignedPut)
    async with httpx.AsyncClient(trust_env=False) as client:
        headers = {**exact.how.headers, "content-type": "text/html"}
        assert (await client.put(exact.how.url, headers=headers, content=CONTENT)).status_code == 403


@everywhere
async def test_nothing_comes_of_an_upload_that_is_given_up(tenant: TenantStore, objects: ObjectStore) -> None:
    """What was sent is removed, and nothing is taken any more."""
    begun = await begin(tenant, "parts", size=PART + 1, part_size=PART)
    upload, number = await tenant.uploads.open_part(begun.upload.id, PART, PART + 1, None)
    await tenant.uploads.put_part(upload, number, b"x")
    assert (await tenant.uploads.abort(begun.upload.id)).status == "aborted"
    assert (await objects.list_uploads("a/binary/")).uploads == ()
    with pytest.raises(UploadGone):
        await tenant.uploads.put_part(upload, number, b"x")
    with pytest.raises(UploadGone):
        await tenant.uploads.open_part(begun.upload.id, 0, PART, None)
    with pytest.raises(UploadGone):
        await tenant.uploads.complete(begun.upload.id)
    assert (await tenant.uploads.abort(begun.upload.id)).status == "aborted"
    with pytest.raises(NotFound):
        await tenant.uploads.status("01ARZ3NDEKTSV4RRFFQ69G5FAV")


@without_urls
async def test_a_ticket_is_good_for_one_upload_of_one_tenant(store: FhirStore, tenant: TenantStore) -> None:
    """Whatever is changed in a ticket, it is refused; and so it is for another upload or tenant."""
    first, second = await begin(tenant, "put"), await begin(tenant, "put")
    assert isinstance(first.how, dict)
    for name, value in first.how.items():
        other = "1" if value[:1] == "0" else "0"
        with pytest.raises(TicketRefused):
            await tenant.uploads.admitted(first.upload.id, {**first.how, name: other + value[1:]})
        with pytest.raises(TicketRefused):
            left_out = {key: text for key, text in first.how.items() if key != name}
            await tenant.uploads.admitted(first.upload.id, left_out)
            assert name == "sha256"
            raise TicketRefused("an empty value says the same as none")
    with pytest.raises(TicketRefused):
        await tenant.uploads.admitted(second.upload.id, first.how)
    with pytest.raises(TicketRefused):
        await store.tenant("b").uploads.admitted(first.upload.id, first.how)
    await tenant.uploads.admitted(first.upload.id, first.how)


@without_urls
async def test_content_with_a_ticket_is_taken_once(tenant: TenantStore) -> None:
    """Of two contents at once one is taken, and the other is told so."""
    begun = await begin(tenant, "put", size=None, most=100_000)
    assert isinstance(begun.how, dict)
    ticket = await tenant.uploads.admitted(begun.upload.id, begun.how)
    sent = await asyncio.gather(
        *[tenant.uploads.receive(ticket, pieces(CONTENT + bytes([n]))) for n in range(3)], return_exceptions=True
    )
    assert sum(isinstance(one, UploadConflict) for one in sent) == 2
    with pytest.raises(UploadConflict, match="is here already"):
        await tenant.uploads.admitted(begun.upload.id, begun.how)
    done = await tenant.uploads.complete(begun.upload.id)
    assert done.version is not None
    assert (await content_of(tenant, done.version))[:-1] == CONTENT


@everywhere
async def test_bad_promises_are_refused(tenant: TenantStore) -> None:
    """Nothing is begun for what can never become a Binary."""
    for said in (
        {"method": "ftp"},
        {"content_type": "pdf"},
        {"size": None},
        {"size": 0},
        {"size": LARGEST + 1},
        {"sha256": "abc"},
        {"security_context": "a b"},
        {"expires_in": 0},
        {"expires_in": 24 * 3600},
        {"method": "parts", "size": None, "most": 10},
        {"part_size": 1},
    ):
        with pytest.raises(InvalidResource):
            await begin(tenant, **{"method": "put", **said})  # type: ignore[arg-type] # by name


@everywhere
async def test_what_nobody_completes_expires(tenant: TenantStore, objects: ObjectStore) -> None:
    """After its time an upload is gone with what was sent; a day later so is its record."""
    parts = await begin(tenant, "parts", size=PART + 1, part_size=PART, expires_in=1)
    upload, number = await tenant.uploads.open_part(parts.upload.id, PART, PART + 1, None)
    await tenant.uploads.put_part(upload, number, b"x")
    await _make_older(tenant, objects, parts.upload.id)
    assert await tenant.uploads.sweep(kept=10**9) == 0
    assert await tenant.uploads.sweep(age=AT_ONCE, kept=10**9) == 1
    assert (await objects.list_uploads("a/binary/")).uploads == ()
    with pytest.raises(UploadGone):
        await tenant.uploads.complete(parts.upload.id)
    assert await tenant.uploads.sweep(age=AT_ONCE, kept=AT_ONCE) == 1
    with pytest.raises(NotFound):
        await tenant.uploads.status(parts.upload.id)
    with pytest.raises(ObjectNotFound):
        await objects.get(f"a/binary/uploads/{parts.upload.id}.json")
    assert await keys_below(objects, f"a/binary/uploads/{parts.upload.id}") == []


async def _make_older(tenant: TenantStore, objects: ObjectStore, id: str) -> None:
    """Writes the record as one that should have been completed long ago."""
    status = await tenant.uploads.status(id)
    key = f"a/binary/uploads/{id}.json"
    old = status.upload.encode().replace(str(status.upload.expires).encode(), b"1700000000000")
    await objects.put(key, old)
