"""Presigned requests work for a client that knows nothing but them, and for nothing else.

ministack and SeaweedFS both check all that is tested here: signature, expiry, signed headers, SHA-256, and of a form
its key, content type, sizes, expiry and that it has no further fields.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from conformance.s3servers import S3Server
from fhirstore.errors import ObjectNotFound, RequestRefused, StoreCannot, StoreMisconfigured
from fhirstore.objects import S3Options
from fhirstore.objects.base import ObjectStore
from fhirstore.objects.embedded.store import EmbeddedStore
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.presigned import PresignedPost
from fhirstore.objects.s3.presigning import Presigner
from fhirstore.objects.s3.store import S3Store


@pytest.fixture(params=["ministack", "seaweedfs"])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """Each server that a test run starts, in turn."""
    server: S3Server = request.getfixturevalue(request.param)
    server.use(monkeypatch)
    return server


@pytest.fixture
async def store(server: S3Server) -> AsyncIterator[S3Store]:
    store = await S3Store.open(server.location(), S3Options(endpoint_url=server.endpoint_url, allow_http=True))
    yield store
    await store.aclose()


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """A client without credentials."""
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client


@pytest.fixture
def long_ago(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it to sign what follows ten minutes ago."""
    return lambda: monkeypatch.setattr(Presigner, "_now", lambda _: int(time.time()) - 600)


async def submitted(client: httpx.AsyncClient, post: PresignedPost, content: bytes, **changed: str) -> int:
    """The status of a plain form (multipart/form-data), with changed fields."""
    fields = {**post.fields, **changed}
    answer = await client.post(post.url, data=fields, files={"file": ("f.txt", content)})
    return answer.status_code


async def test_get(store: S3Store, client: httpx.AsyncClient, long_ago: Callable[[], None]) -> None:
    """The URL reads this object, or a range of it, until it expires; the download has name and type as asked."""
    await store.put("a b/\u00e9", b"hello")
    url = await store.presign_get("a b/\u00e9", expires_in=60, filename="p\u00e4per 1.csv", content_type="text/csv")
    answer = await client.get(url)
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, b"hello", "text/csv")
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''p%C3%A4per%201.csv"
    assert (await client.get(url, headers={"Range": "bytes=1-2"})).content == b"el"
    plain = await store.presign_get("a b/\u00e9", expires_in=60, filename="plain.csv")
    assert (await client.get(plain)).headers["content-disposition"] == 'attachment; filename="plain.csv"'
    forged = url[:-1] + ("0" if url[-1] != "0" else "1")
    assert (await client.get(forged)).status_code == 403
    assert (await client.put(url, content=b"x")).status_code == 403
    long_ago()
    assert (await client.get(await store.presign_get("a b/\u00e9", expires_in=60))).status_code == 403


async def test_put(store: S3Store, client: httpx.AsyncClient, long_ago: Callable[[], None]) -> None:
    """Only a body with the type and hash that were signed is stored, until the request expires."""
    good = b"the right body"
    signed = await store.presign_put(
        "p", expires_in=60, content_type="text/plain", sha256=hashlib.sha256(good).hexdigest()
    )
    headers = dict(signed.headers)
    assert (await client.put(signed.url, headers=headers, content=b"another body!!")).status_code == 400
    assert (await client.put(signed.url, headers={**headers, "content-type": "text/html"}, content=good)).is_error
    assert (await client.put(signed.url, content=good)).status_code == 403
    with pytest.raises(ObjectNotFound):
        await store.get("p")
    assert (await client.put(signed.url, headers=headers, content=good)).status_code == 200
    assert ((await store.get("p")).body, (await store.stat("p")).content_type) == (good, "text/plain")
    bare = await store.presign_put("bare", expires_in=60)
    assert (await client.put(bare.url, content=b"anything")).status_code == 200
    long_ago()
    late = await store.presign_put("late", expires_in=60)
    assert (await client.put(late.url, content=b"x")).status_code == 403


async def test_put_once(store: S3Store, client: httpx.AsyncClient) -> None:
    """With `size` and `if_absent`, a body of that size is stored, once, and the client can leave neither out."""
    signed = await store.presign_put("once", expires_in=60, content_type="text/plain", size=10, if_absent=True)
    headers = dict(signed.headers)
    for size in (9, 11):
        assert (await client.put(signed.url, headers=headers, content=b"x" * size)).status_code == 403
    plain = {"content-type": "text/plain"}
    assert (await client.put(signed.url, headers=plain, content=b"x" * 10)).status_code == 403
    assert (await client.put(signed.url, headers=headers, content=b"x" * 10)).status_code == 200
    assert (await client.put(signed.url, headers=headers, content=b"y" * 10)).status_code == 412
    assert (await store.get("once")).body == b"x" * 10


async def test_post(store: S3Store, client: httpx.AsyncClient, long_ago: Callable[[], None]) -> None:
    """A plain form stores a body within the sizes, under the key and with the type that were signed, and no other."""
    post = await store.presign_post("form/a", expires_in=60, min_size=3, max_size=10, content_type="text/plain")
    for size, status in ((2, 400), (3, 204), (10, 204), (11, 400)):
        assert await submitted(client, post, b"x" * size) == status
    info = await store.stat("form/a")
    assert (info.size, info.content_type) == (10, "text/plain")
    key = post.fields["key"]
    for changed in (
        {"key": f"{key}2"},
        {"Content-Type": "text/html"},
        {"x-amz-signature": "0" * 64},
        {"policy": post.fields["policy"][::-1]},
        {"x-amz-meta-added": "x"},
    ):
        assert await submitted(client, post, b"x" * 5, **changed) in (400, 403), changed
    assert (await store.get("form/a")).body == b"x" * 10
    assert len((await store.list("")).objects) == 1
    long_ago()
    late = await store.presign_post("late", expires_in=60, max_size=10)
    assert await submitted(client, late, b"x") == 403


async def test_public_endpoint(server: S3Server, client: httpx.AsyncClient) -> None:
    """Signed requests go to the public address, whose host they are signed for; the store's own do not."""
    assert server.endpoint_url
    public = server.endpoint_url.replace("127.0.0.1", "localhost")
    options = S3Options(endpoint_url=server.endpoint_url, public_endpoint_url=public, allow_http=True)
    store = await S3Store.open(server.location(), options)
    await store.put("a", b"hello")
    url = await store.presign_get("a", expires_in=60)
    assert url.startswith(f"{public}/")
    assert (await client.get(url)).content == b"hello"
    assert (await client.get(url.replace("localhost", "127.0.0.1"))).status_code == 403
    post = await store.presign_post("b", expires_in=60, max_size=10)
    assert post.url.startswith(f"{public}/")
    assert await submitted(client, post, b"x") == 204
    await store.aclose()


async def test_public_endpoint_of_plain_http_must_be_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A public address without TLS would hand data out in clear text, so it needs the same consent as the other."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    options = S3Options(endpoint_url="https://127.0.0.1:1", public_endpoint_url="http://files.example")
    with pytest.raises(StoreMisconfigured, match="clear text"):
        await S3Store.open("s3://bucket", options)


async def test_unfit_requests_are_not_signed(store: S3Store) -> None:
    """What no store accepts is refused here."""
    for refused in (
        store.presign_get("a", expires_in=0),
        store.presign_get("a", expires_in=7 * 24 * 3600 + 1),
        store.presign_get("a", expires_in=9, filename="a/b"),
        store.presign_get("a", expires_in=9, filename='a"b'),
        store.presign_get("a", expires_in=9, filename="a\r\nb"),
        store.presign_get("a", expires_in=9, content_type="x"),
        store.presign_put("a", expires_in=9, sha256="abc"),
        store.presign_put("a", expires_in=-1),
        store.presign_post("a", expires_in=9, min_size=5, max_size=4),
        store.presign_post("a", expires_in=9, max_size=6 * 1024**3),
    ):
        with pytest.raises(RequestRefused):
            await refused


@pytest.mark.parametrize("kind", ["memory", "embedded"])
async def test_stores_without_urls_say_so(kind: str, tmp_path: Path) -> None:
    """Memory and embedded stores presign nothing, with one typed error that says what to do instead."""
    store: ObjectStore = MemoryStore() if kind == "memory" else await EmbeddedStore.open(tmp_path)
    for request in (
        store.presign_get("a", expires_in=9),
        store.presign_put("a", expires_in=9),
        store.presign_post("a", expires_in=9, max_size=1),
    ):
        with pytest.raises(StoreCannot, match="no URLs; let the server pass the object on"):
            await request
    await store.aclose()
