"""Every request that makes an object says what S3 is to encrypt it with, signed; no other request does."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import pytest

from conformance.s3servers import S3Server
from fhirstore import FhirStore
from fhirstore.errors import StoreMisconfigured
from fhirstore.objects import IF_ABSENT, Encryption, Facts, S3Options
from fhirstore.objects.base import ObjectStore
from fhirstore.objects.s3 import copying
from fhirstore.objects.s3.store import S3Store
from tests.objects.contract import ObjectStoreContract
from tests.objects.s3.scripted_http import Asked, ScriptedServer, Told, error

NAME = "x-amz-server-side-encryption"
KEYED = Encryption("aws:kms", "alias/all", bucket_key=True, folder_keys={"clinic-a": "key-a"})
PART = 5 * 1024 * 1024


def said(asked: Asked) -> dict[str, str]:
    """What a request says of encryption."""
    return {name: value for name, value in asked.headers.items() if name.startswith(NAME)}


def signed_headers(asked: Asked) -> set[str]:
    """The names of the headers that its signature covers."""
    in_query = parse_qs(urlsplit(asked.target).query).get("X-Amz-SignedHeaders")
    if in_query:
        return set(in_query[0].split(";"))
    (part,) = (one for one in asked.headers["authorization"].split(", ") if "SignedHeaders=" in one)
    return set(part.partition("=")[2].split(";"))


def answer(asked: Asked) -> Told:
    """A bucket that does as asked."""
    query = urlsplit(asked.target).query
    if asked.method == "HEAD":
        return Told(200, headers={"ETag": '"e"', "Content-Length": "7"})
    if asked.method == "POST" and "uploads" in query:
        return Told(200, b"<R><UploadId>u</UploadId></R>")
    return Told(200, b"<R><ETag>e</ETag></R>", headers={"ETag": '"e"'})


@asynccontextmanager
async def encrypting(
    encryption: Encryption | None, patch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[S3Store, ScriptedServer]]:
    """A store in a bucket that answers all, and what it was asked."""
    patch.setenv("AWS_ACCESS_KEY_ID", "K")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "S")
    async with ScriptedServer.running() as server:
        server.answer = answer
        options = S3Options(endpoint_url=server.url, allow_http=True, encryption=encryption)
        store = await S3Store.open("s3://bucket/p", options)
        server.asked.clear()
        yield store, server
        await store.aclose()


async def chunks(size: int) -> AsyncIterator[bytes]:
    yield b"x" * size


async def every_write(store: S3Store, key: str) -> None:
    """One request of each kind that makes an object below `key`."""
    await store.put(f"{key}/plain", b"1")
    await store.put(f"{key}/absent", b"1", condition=IF_ABSENT)
    await store.put(f"{key}/window", b"1", condition=IF_ABSENT, expires=store.now() + 60_000)
    await store.put(f"{key}/facts", b"1", facts=Facts(content_type="text/plain", tags={"a": "b"}))
    await store.put_stream(f"{key}/upload", chunks(PART), part_size=PART)
    await store.copy("source", f"{key}/copy")


@pytest.mark.parametrize(
    ("encryption", "folder", "expected"),
    [
        (Encryption(), "t", {NAME: "AES256"}),
        (Encryption("aws:kms"), "t", {NAME: "aws:kms"}),
        (KEYED, "t", {NAME: "aws:kms", f"{NAME}-aws-kms-key-id": "alias/all", f"{NAME}-bucket-key-enabled": "true"}),
        (KEYED, "clinic-a", {NAME: "aws:kms", f"{NAME}-aws-kms-key-id": "key-a", f"{NAME}-bucket-key-enabled": "true"}),
        (None, "t", {}),
    ],
)
async def test_every_write_says_it_signed(
    encryption: Encryption | None, folder: str, expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PUTs by both clients, uploads and copies carry it, with the key of the tenant, under their signature."""
    async with encrypting(encryption, monkeypatch) as (store, server):
        asked = server.asked
        await every_write(store, folder)
        await store.get(f"{folder}/plain")
        await store.delete(f"{folder}/plain")
        makes = [
            one
            for one in asked
            if one.method in ("PUT", "POST") and "uploadId" not in one.target  # parts and completion say nothing
        ]
        assert len(makes) == 6
        for one in makes:
            assert said(one) == expected, one.target
            assert set(expected) <= signed_headers(one), one.target
        assert all(said(one) == {} for one in asked if one not in makes)


async def test_a_copy_by_ranges_is_encrypted_as_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The upload that a large copy is made of says it; its ranges need not."""
    monkeypatch.setattr(copying, "WHOLE", 5)
    async with encrypting(KEYED, monkeypatch) as (store, server):
        asked = server.asked
        await store.copy("source", "clinic-a/copy")
        (begun,) = (one for one in asked if one.method == "POST" and "uploads" in one.target)
        assert said(begun)[f"{NAME}-aws-kms-key-id"] == "key-a"


async def test_presigned_writes_say_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has a presigned PUT or form must send it: it is signed, and in the policy of the form."""
    async with encrypting(KEYED, monkeypatch) as (store, _):
        put = await store.presign_put("clinic-a/x", expires_in=60)
        assert put.headers[f"{NAME}-aws-kms-key-id"] == "key-a"
        assert set(put.headers) <= set(parse_qs(urlsplit(put.url).query)["X-Amz-SignedHeaders"][0].split(";"))
        form = await store.presign_post("clinic-a/x", expires_in=60, max_size=10)
        conditions = json.loads(base64.b64decode(form.fields["policy"]))["conditions"]
        for name, value in KEYED.headers("clinic-a/x").items():
            assert form.fields[name] == value
            assert {name: value} in conditions
        assert NAME not in await store.presign_get("clinic-a/x", expires_in=60)


async def test_a_tenants_own_bucket_has_the_tenants_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where each tenant has a bucket, its keys begin at the root, and still everything has the tenant's own KMS key."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "K")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "S")
    async with ScriptedServer.running() as server:
        server.answer = answer
        options = S3Options(endpoint_url=server.url, allow_http=True, encryption=KEYED)
        opening = FhirStore.open("s3://", buckets={"clinic-a": "bucket-a", "clinic-b": "bucket-b"}, s3=options)
        async with opening as store:
            server.asked.clear()
            for tenant in ("clinic-a", "clinic-b"):
                await store.tenancy.place(tenant).objects.put("resources/x", b"1")
        keys = {one.target.split("/")[1]: said(one)[f"{NAME}-aws-kms-key-id"] for one in server.asked if said(one)}
        assert keys == {"bucket-a": "key-a", "bucket-b": "alias/all"}


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (400, "KMS.NotFoundException", "no key"),
        (400, "KMS.DisabledException", "disabled"),
        (403, "AccessDenied", "not authorized to perform: kms:GenerateDataKey"),
        (404, "kms:KeyNotFound", "of MinIO"),
    ],
)
async def test_a_key_that_cannot_be_used_is_named(
    status: int, code: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing, disabled or forbidden key is a configuration error that says so, and not an unknown outcome."""
    async with encrypting(KEYED, monkeypatch) as (store, server):
        server.answer = lambda _: error(status, code, message)
        for expires in (None, store.now() + 60_000):
            before = len(server.asked)
            with pytest.raises(StoreMisconfigured, match="KMS key cannot be used"):
                await store.put("a", b"1", condition=IF_ABSENT, expires=expires)
            assert len(server.asked) == before + 1


@pytest.mark.parametrize(
    ("algorithm", "key", "bucket_key"),
    [("AES256", "k", False), ("AES256", None, True), ("des", None, False), ("aws:kms", "a b", False)],
)
def test_what_cannot_be_is_refused(algorithm: str, key: str | None, bucket_key: bool) -> None:
    """A key for SSE-S3, a bucket key without KMS, an unknown algorithm, a key with a space."""
    with pytest.raises(ValueError, match=r"KMS|algorithm|bucket key"):
        Encryption(algorithm, key, bucket_key)


class TestMinioWithKms(ObjectStoreContract):
    """Every promise holds on a real server with SSE-KMS, whose ETags are opaque (opt-in)."""

    opaque_etags = True
    lists_uploads_by_prefix = False

    @pytest.fixture
    async def store(self, minio: S3Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ObjectStore]:
        key = os.environ.get("FHIRSTORE_MINIO_TEST_KMS_KEY")
        if not key:
            pytest.skip(
                "set FHIRSTORE_MINIO_TEST_KMS_KEY to a key of a MinIO that was started with MINIO_KMS_SECRET_KEY"
            )
        minio.use(monkeypatch)
        options = S3Options(endpoint_url=minio.endpoint_url, allow_http=True, encryption=Encryption("aws:kms", key))
        store = await S3Store.open(minio.location(), options)
        yield store
        await store.aclose()
