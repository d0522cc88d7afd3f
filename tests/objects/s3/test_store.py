"""S3Store keeps the contract of the object verbs on real S3 servers."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from conformance.s3servers import S3Server
from fhirstore.objects import S3Options
from fhirstore.objects.base import PART_SIZE, ObjectStore
from fhirstore.objects.s3.failures import Failure
from fhirstore.objects.s3.signing import Keys, QuerySigner
from fhirstore.objects.s3.store import S3Store
from tests.objects.contract import ObjectStoreContract
from tests.objects.store_under_test import cut, every_key, patterned


async def opened(server: S3Server, patch: pytest.MonkeyPatch) -> AsyncIterator[ObjectStore]:
    """A store below a prefix that nobody else uses, closed afterwards."""
    server.use(patch)
    store = await S3Store.open(server.location(), S3Options(endpoint_url=server.endpoint_url, allow_http=True))
    yield store
    await store.aclose()


class TestMinistack(ObjectStoreContract):
    """Every promise holds on ministack, but that it neglects tags and takes parts of any size."""

    tags_follow = False
    checks_part_sizes = False

    @pytest.fixture
    async def store(self, ministack: S3Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ObjectStore]:
        async for store in opened(ministack, monkeypatch):
            yield store


class TestSeaweedFS(ObjectStoreContract):
    """Every promise holds on SeaweedFS, where the loser of a race waits for its lock in steps of a second."""

    racers = 5

    @pytest.fixture
    async def store(self, seaweedfs: S3Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ObjectStore]:
        async for store in opened(seaweedfs, monkeypatch):
            yield store


class TestMinio(ObjectStoreContract):
    """Every promise holds on MinIO (opt-in: FHIRSTORE_MINIO_TEST_ENDPOINT, or RUN_MINIO_S3_TESTS=1)."""

    lists_uploads_by_prefix = False

    @pytest.fixture
    async def store(self, minio: S3Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ObjectStore]:
        async for store in opened(minio, monkeypatch):
            yield store


class TestAws(ObjectStoreContract):
    """Every promise holds on AWS (opt-in: RUN_AWS_S3_TESTS=1)."""

    @pytest.fixture
    async def store(self, aws: S3Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ObjectStore]:
        async for store in opened(aws, monkeypatch):
            yield store


@pytest.fixture(params=["ministack", "seaweedfs"])
def server(request: pytest.FixtureRequest) -> S3Server:
    """Each server that a test run starts, in turn."""
    server: S3Server = request.getfixturevalue(request.param)
    return server


@pytest.fixture
async def store(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ObjectStore]:
    async for store in opened(server, monkeypatch):
        yield store


def test_the_store_itself_refuses_after_the_window(server: S3Server) -> None:
    """A windowed PUT that arrives too late is refused there, whatever the client thinks, and told from other 403s."""
    signer = QuerySigner(Keys(server.access_key, server.secret_key), region="us-east-1", host=host(server))
    path = f"/{server.bucket}/late"
    late = signer.query("PUT", path, at=int(time.time()) - 60, seconds=5)
    status, body = server.send("PUT", f"{path}?{late}", {}, b"late")
    assert status == 403
    assert Failure.from_answer(status, body).expired
    assert server.request("GET", path)[0] == 404
    in_time = signer.query("PUT", path, at=int(time.time()) - 60, seconds=300)
    assert server.send("PUT", f"{path}?{in_time}", {}, b"in time")[0] == 200
    forged = in_time[:-1] + ("0" if in_time[-1] != "0" else "1")
    status, body = server.send("PUT", f"{path}?{forged}", {}, b"forged")
    assert status == 403
    assert not Failure.from_answer(status, body).expired


def host(server: S3Server) -> str:
    assert server.endpoint_url
    return server.endpoint_url.removeprefix("http://")


async def test_corrupted_body_is_refused(server: S3Server) -> None:
    """A windowed PUT carries its body's MD5, and a body that arrives changed is not stored."""
    signer = QuerySigner(Keys(server.access_key, server.secret_key), region="us-east-1", host=host(server))
    path = f"/{server.bucket}/corrupt"
    query = signer.query("PUT", path, at=int(time.time()) - 5, seconds=300)
    status, body = server.send("PUT", f"{path}?{query}", {"Content-MD5": "XUFAKrxLKna5cZ2REBfFkg=="}, b"not hello")
    assert (status, b"BadDigest" in body) == (400, True)
    assert server.request("GET", path)[0] == 404


@pytest.mark.parametrize("ending", [RuntimeError, None])
async def test_broken_multipart_upload_is_aborted(
    server: S3Server, store: ObjectStore, ending: type[Exception] | None
) -> None:
    """A large upload whose source fails leaves neither an object nor parts that would be paid for."""
    body = patterned(2 * PART_SIZE + 17)

    async def source() -> AsyncIterator[bytes]:
        async for chunk in cut(body, 1_000_000):
            yield chunk
        if ending:
            raise ending

    if ending:
        with pytest.raises(ending):
            await store.put_stream("large", source())
        assert await every_key(store, "") == []
    else:
        await store.put_stream("large", source())
        assert (await store.get("large")).body == body
    status, uploads = server.request("GET", f"/{server.bucket}?uploads=")
    assert (status, b"<Upload>" in uploads) == (200, False)


@pytest.mark.parametrize("name", ["a b", "a+b", "a%2Fb", "a%20b", "é\U0001f600", "a&b<c>'\"", "a=b,c;d:e@f$g!h*(i)~j"])
async def test_any_printable_key_survives(store: ObjectStore, name: str) -> None:
    """Keys with characters that URLs, XML or signatures treat specially come back the same from every verb."""
    key = f"odd/{name}/k"
    await store.put(key, b"1")
    await store.put(key, b"2", expires=store.now() + 60_000)
    assert (await store.get(key)).body == b"2"
    assert await every_key(store, "odd/") == [key]
    assert (await store.list("odd/", delimiter=True)).prefixes == (f"odd/{name}/",)
    assert await every_key(store, f"odd/{name}/", start_after=f"odd/{name}/j") == [key]
    await store.delete_many([key])
    assert await every_key(store, "odd/") == []
    await store.put(key, b"3")
    await store.delete(key)
    assert await every_key(store, "odd/") == []


async def test_store_time_is_known_once_open(store: ObjectStore) -> None:
    """A store that was just opened knows the store's clock to a second and a half (the servers run on this machine)."""
    assert abs(store.now() - time.time() * 1000) < 1500
    written = await store.put("k", b"x", expires=store.now() + 60_000)
    assert time.time() * 1000 - 3000 < written.date <= time.time() * 1000
