"""Content of a Binary above the inline limit is streamed to an object of its own, and back, whole or in part."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import zlib
from collections.abc import AsyncIterator

import brotli
import httpx
import pytest

from conformance.s3servers import S3Server
from fhirstore import S3Options, open_objects
from fhirstore.objects.memory import MemoryStore
from server.settings import BadSetting, Settings, from_environment
from tests.server.listening import listening, until
from tests.server.serving import FHIR_JSON, Served, serving

CONTENT = bytes(range(256)) * 40 + b"the end"
SETTINGS = Settings(inline_bytes=1000, max_binary=100_000)
OCTETS = {"Content-Type": "application/octet-stream"}
AS_FHIR = {"Accept": "application/fhir+json"}
DIGEST = f"sha-256=:{base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()}:"


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving(SETTINGS) as value:
        yield value


async def pieces(content: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def put(served: Served, content: bytes | AsyncIterator[bytes] = CONTENT, **headers: str) -> httpx.Response:
    sent = OCTETS | {name.replace("_", "-"): value for name, value in headers.items()}
    return await served.client.put("/fhir/Binary/b", content=content, headers=sent)


async def stored(served: Served) -> list[str]:
    """The keys of the payload objects."""
    page = await served.meter.list("default/binary/payload/")
    return [one.key for one in page.objects]


async def test_long_content_lies_outside_and_comes_back(served: Served) -> None:
    """The record has a marker; the client gets the bytes, their hash and a name."""
    answer = await put(served)
    assert answer.status_code == 201
    assert len(await stored(served)) == 1
    record = await served.meter.get("default/resources/Binary/b/current.json")
    assert len(record.body) < 1000
    back = await served.client.get("/fhir/Binary/b")
    assert (back.status_code, back.content) == (200, CONTENT)
    assert back.headers["repr-digest"] == DIGEST
    assert back.headers["etag"] == '"1"'
    assert back.headers["content-disposition"] == 'attachment; filename="Binary-b.bin"'
    first = await served.client.get("/fhir/Binary/b/_history/1")
    assert first.content == CONTENT


async def test_one_content_is_stored_once(served: Served) -> None:
    """Two Binaries, and one that came as base64 in JSON, share the object."""
    await put(served)
    await served.client.post("/fhir/Binary", content=CONTENT, headers=OCTETS)
    resource = {"resourceType": "Binary", "contentType": "a/b", "data": base64.b64encode(CONTENT).decode()}
    answer = await served.client.post("/fhir/Binary", content=json.dumps(resource), headers=FHIR_JSON)
    assert answer.status_code == 201
    assert "data" not in answer.json()
    assert (await served.client.get(answer.headers["location"])).content == CONTENT
    assert len(await stored(served)) == 1


@pytest.mark.parametrize("inline", [False, True])
async def test_parts_of_it_are_answered(inline: bool) -> None:
    """Range with the strong ETag, wherever the content lies; a part that begins behind the end is 416."""
    async with serving(Settings(inline_bytes=1_000_000 if inline else 1000)) as served:
        await put(served)
        assert len(await stored(served)) == (0 if inline else 1)
        for asked, expected in (
            ("bytes=0-0", CONTENT[:1]),
            ("bytes=4-1004", CONTENT[4:1005]),
            ("bytes=10000-", CONTENT[10000:]),
            ("bytes=-5", CONTENT[-5:]),
            ("bytes=1-99999999", CONTENT[1:]),
        ):
            answer = await served.client.get("/fhir/Binary/b", headers={"Range": asked, "If-Range": '"1"'})
            assert (answer.status_code, answer.content) == (206, expected), asked
            assert answer.headers["content-range"].endswith(f"/{len(CONTENT)}")
            assert answer.headers["content-length"] == str(len(expected))
        for asked, tag in (
            ("bytes=0-0,2-3", '"1"'),
            ("bytes=0-0", '"2"'),
            ("bytes=0-0", 'W/"1"'),
            ("lines=1-2", '"1"'),
        ):
            answer = await served.client.get("/fhir/Binary/b", headers={"Range": asked, "If-Range": tag})
            assert (answer.status_code, answer.content) == (200, CONTENT)
        behind = await served.client.get("/fhir/Binary/b", headers={"Range": f"bytes={len(CONTENT)}-"})
        assert behind.status_code == 416
        assert behind.headers["content-range"] == f"bytes */{len(CONTENT)}"
        assert behind.json()["resourceType"] == "OperationOutcome"


async def test_what_a_client_has_is_not_sent_again(served: Served) -> None:
    """304 by either form of the ETag, and by time; HEAD tells the size. None of them opens the content."""
    await put(served)
    before = served.meter.totals.bytes_read
    for headers in ({"If-None-Match": '"1"'}, {"If-None-Match": 'W/"1"'}):
        answer = await served.client.get("/fhir/Binary/b", headers=headers)
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", '"1"')
    head = await served.client.head("/fhir/Binary/b")
    assert (head.status_code, int(head.headers["content-length"])) == (200, len(CONTENT))
    assert head.headers["accept-ranges"] == "bytes"
    stale = await served.client.get("/fhir/Binary/b", headers={"If-Match": '"2"'})
    assert stale.status_code == 412
    assert served.meter.totals.bytes_read - before < len(CONTENT)


async def test_as_a_resource_it_has_its_data(served: Served) -> None:
    """JSON, XML and indented JSON are made on the way, with a length that is known before."""
    await put(served, X_Security_Context="Patient/p")
    text = base64.b64encode(CONTENT)
    for query, accept in (("", "application/fhir+json"), ("", "application/fhir+xml"), ("?_pretty=true", "*/*")):
        headers = {"Accept": accept, "Accept-Encoding": "identity"}
        answer = await served.client.get(f"/fhir/Binary/b{query}", headers=headers)
        assert answer.status_code == 200
        assert text in answer.content
        assert b"urn:fhirstore" not in answer.content
        assert int(answer.headers["content-length"]) == len(answer.content)
        assert answer.headers["etag"] == 'W/"1"'
        head = await served.client.head(f"/fhir/Binary/b{query}", headers=headers)
        assert head.headers["content-length"] == answer.headers["content-length"]
    resource = (await served.client.get("/fhir/Binary/b", headers=AS_FHIR)).json()
    assert resource["contentType"] == "application/octet-stream"
    assert resource["securityContext"] == {"reference": "Patient/p"}
    assert list(resource) == ["resourceType", "id", "meta", "contentType", "securityContext", "data"]


async def test_lists_and_parts_show_the_marker(served: Served) -> None:
    """`_summary`, `_elements`, histories, searches and Bundles say how large the content is, and never load it."""
    await put(served)
    before = served.meter.totals.bytes_read
    summary = await served.client.get("/fhir/Binary/b?_summary=true", headers=AS_FHIR)
    elements = await served.client.get("/fhir/Binary/b?_elements=contentType", headers=AS_FHIR)
    assert [answer.status_code for answer in (summary, elements)] == [200, 200]
    history = (await served.client.get("/fhir/Binary/b/_history")).json()
    search = (await served.client.get("/fhir/Binary?_id=b")).json()
    batch = {"resourceType": "Bundle", "type": "batch", "entry": [{"request": {"method": "GET", "url": "Binary/b"}}]}
    answer = (await served.client.post("/fhir", json=batch)).json()
    for bundle in (history, search, answer):
        (entry,) = bundle["entry"]
        (marker,) = entry["resource"]["_data"]["extension"]
        assert marker["url"] == "urn:fhirstore:StructureDefinition/payload"
        assert {"url": "size", "valueDecimal": len(CONTENT)} in marker["extension"]
    assert served.meter.totals.bytes_read - before < len(CONTENT)


async def test_a_resource_that_was_read_and_is_written_back_keeps_its_content(served: Served) -> None:
    """With the marker, as a list shows it; and with the data, as a read shows it."""
    await put(served)
    marked = (await served.client.get("/fhir/Binary?_id=b")).json()["entry"][0]["resource"]
    whole = (await served.client.get("/fhir/Binary/b", headers=AS_FHIR)).json()
    for resource in (marked, whole):
        resource["contentType"] = "a/b"
        answer = await served.client.put("/fhir/Binary/b", content=json.dumps(resource), headers=FHIR_JSON)
        assert answer.status_code == 200
        back = await served.client.get("/fhir/Binary/b")
        assert (back.content, back.headers["content-type"]) == (CONTENT, "a/b")
    assert len(await stored(served)) == 1


async def test_a_digest_is_checked(served: Served) -> None:
    """Of long content, of short, and of what is compressed; another one is 400, and nothing is there."""
    packed = gzip.compress(CONTENT)
    of_packed = f"sha-256=:{base64.b64encode(hashlib.sha256(packed).digest()).decode()}:"
    for content, name, encoding in (
        (CONTENT, "Content-Digest", "identity"),
        (CONTENT[:100], "Repr-Digest", "identity"),
        (packed, "Content-Digest", "gzip"),
    ):
        wrong = f"sha-256=:{base64.b64encode(bytes(32)).decode()}:"
        headers = OCTETS | {name: wrong, "Content-Encoding": encoding}
        answer = await served.client.put("/fhir/Binary/wrong", content=content, headers=headers)
        assert answer.status_code == 400, answer.text
        assert "SHA-256" in answer.json()["issue"][0]["diagnostics"]
        assert (await served.client.get("/fhir/Binary/wrong")).status_code == 404
    assert await stored(served) == []
    assert (await put(served, Content_Digest=DIGEST)).status_code == 201
    assert (await put(served, packed, Repr_Digest=of_packed, Content_Encoding="gzip")).status_code == 200
    assert (await put(served, b"x", Content_Digest="nonsense")).status_code == 400


async def test_compressed_content_is_stored_as_it_is_meant(served: Served) -> None:
    """gzip, deflate and br; of unknown length, short or long."""
    for encoding, packed in (
        ("gzip", gzip.compress(CONTENT)),
        ("deflate", zlib.compress(CONTENT)),
        ("br", brotli.compress(CONTENT)),
        ("gzip", gzip.compress(CONTENT[:5000]) + gzip.compress(CONTENT[5000:])),
    ):
        assert (await put(served, packed, Content_Encoding=encoding)).is_success
        assert (await served.client.get("/fhir/Binary/b")).content == CONTENT
    assert (await put(served, gzip.compress(b"short"), Content_Encoding="gzip")).is_success
    assert (await served.client.get("/fhir/Binary/b")).content == b"short"
    assert len(await stored(served)) == 1
    for broken in (gzip.compress(CONTENT)[:-9], b"not gzip"):
        assert (await put(served, broken, Content_Encoding="gzip")).status_code == 400
    assert (await put(served, b"x", Content_Encoding="zstd")).status_code == 415


async def test_too_much_is_refused(served: Served) -> None:
    """By its Content-Length, as it arrives, or when it is decompressed; only Binary has this limit."""
    too_long = bytes(100_001)
    bomb = gzip.compress(bytes(50_000_000))
    assert len(bomb) < 100_000
    for answer in (
        await put(served, too_long),
        await put(served, pieces(too_long)),
        await put(served, bomb, Content_Encoding="gzip"),
    ):
        assert answer.status_code == 413
        assert "FHIRSTORE_MAX_BINARY_BYTES" in answer.text
    assert (await served.client.get("/fhir/Binary/b")).status_code == 404
    assert await stored(served) == []


async def test_an_unknown_length_is_fine(served: Served) -> None:
    """A chunked body is a long one or a short one, as it turns out; none is refused."""
    for content in (CONTENT, b"short", CONTENT[:1000], CONTENT[:1001]):
        assert (await put(served, pieces(content, 300))).is_success
        assert (await served.client.get("/fhir/Binary/b")).content == content
    assert (await put(served, pieces(b""))).status_code == 400


def head(method: str, path: str, *headers: str, size: int = len(CONTENT)) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: x", "content-type: a/b", f"content-length: {size}", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


async def test_a_client_that_waits_is_told_first() -> None:
    """With `Expect: 100-continue`, a stale If-Match, a taken id and a length above the limit cost no body."""
    async with listening(MemoryStore(), SETTINGS) as server:
        made = await server.ask(head("PUT", "/fhir/Binary/b", "connection: close") + CONTENT)
        assert made.startswith(b"HTTP/1.1 201")
        for more, size, expected in (
            ('if-match: "7"', len(CONTENT), b"HTTP/1.1 412"),
            ("if-none-match: *", len(CONTENT), b"HTTP/1.1 412"),
            ("x-y: z", 100_001, b"HTTP/1.1 413"),
            ("content-digest: nonsense", len(CONTENT), b"HTTP/1.1 400"),
        ):
            reader, writer = await server.connect()
            writer.write(head("PUT", "/fhir/Binary/b", "expect: 100-continue", more, size=size))
            assert (await reader.readuntil(b"\r\n")).startswith(expected)
            writer.close()
        reader, writer = await server.connect()
        writer.write(head("PUT", "/fhir/Binary/b", "expect: 100-continue", 'if-match: "1"', "connection: close"))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(CONTENT)
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_a_body_that_is_cut_leaves_nothing() -> None:
    """The client goes away in the middle: no resource, no object, no upload; and no room is taken any more."""
    objects = MemoryStore()
    async with listening(objects, Settings(inline_bytes=1000)) as server:
        in_flight = server.connections.in_flight
        _, writer = await server.connect()
        writer.write(head("PUT", "/fhir/Binary/b", size=20_000_000))
        for _ in range(15):
            writer.write(bytes(1_000_000))
            await writer.drain()
        await until(lambda: in_flight.used > 0)
        assert in_flight.used <= min(20_000_000, server.store.tenant("default").payloads.held)
        writer.transport.abort()
        await until(lambda: in_flight.used == 0)
        missing = await server.ask(b"GET /fhir/Binary/b HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert missing.startswith(b"HTTP/1.1 404")
        assert (await objects.list("")).objects == ()
        assert (await objects.list_uploads("")).uploads == ()


async def test_a_precondition_holds_at_the_commit(served: Served) -> None:
    """Another writer that is quicker than a long body makes it 412."""
    await put(served)

    async def slow() -> AsyncIterator[bytes]:
        yield CONTENT[::-1]
        await put(served, b"quicker")

    assert (await put(served, slow(), If_Match='"1"')).status_code == 412
    assert (await served.client.get("/fhir/Binary/b")).content == b"quicker"


async def test_a_repeated_key_makes_one_binary(served: Served) -> None:
    """Idempotency-Key: the same content is answered as the first time, other content is refused."""
    headers = OCTETS | {"Idempotency-Key": "k"}
    first = await served.client.post("/fhir/Binary", content=CONTENT, headers=headers)
    again = await served.client.post("/fhir/Binary", content=CONTENT, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.headers["location"] == again.headers["location"]
    other = await served.client.post("/fhir/Binary", content=CONTENT[::-1], headers=headers)
    assert other.status_code == 422
    resource = {"resourceType": "Binary", "contentType": "a/b", "data": base64.b64encode(CONTENT).decode()}
    key = {**FHIR_JSON, "Idempotency-Key": "in a resource"}
    answers = [await served.client.post("/fhir/Binary", json=resource, headers=key) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].headers["location"] == answers[1].headers["location"]


async def test_unchanged_content_makes_no_version() -> None:
    """FHIRSTORE_SKIP_UNCHANGED holds for content, too."""
    async with serving(Settings(inline_bytes=1000, skip_unchanged=True)) as served:
        tags = [(await put(served, content)).headers["etag"] for content in (CONTENT, CONTENT, CONTENT[::-1])]
        assert tags == ['W/"1"', 'W/"1"', 'W/"2"']


async def test_text_is_compressed_under_a_weak_tag(served: Served) -> None:
    """What is packed on the way has other bytes than a range would be of, so its tag is no strong one."""
    headers = {"Content-Type": "text/plain"}
    await served.client.put("/fhir/Binary/b", content=b"hello " * 1000, headers=headers)
    packed = await served.client.get("/fhir/Binary/b", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["etag"] == 'W/"1"'
    assert "repr-digest" not in packed.headers
    assert packed.content == b"hello " * 1000
    part = await served.client.get("/fhir/Binary/b", headers={"Accept-Encoding": "gzip", "Range": "bytes=0-4"})
    assert (part.status_code, part.content, part.headers["etag"]) == (206, b"hello", '"1"')


async def test_a_read_may_lead_to_the_bucket(ministack: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """FHIRSTORE_BINARY_URLS=presigned: 307 to the same bytes, type and name, for long content in its own type alone."""
    ministack.use(monkeypatch)
    settings = Settings(inline_bytes=1000, binary_urls="presigned", export_url_expiry=600)
    options = S3Options(endpoint_url=ministack.endpoint_url, allow_http=True)
    objects = await open_objects(ministack.location(), s3=options, create=True)
    try:
        async with serving(settings, objects) as served, httpx.AsyncClient() as anybody:
            assert (await put(served)).status_code == 201
            answer = await served.client.get("/fhir/Binary/b", headers={"Range": "bytes=4-9"})
            assert answer.status_code == 307
            url = answer.headers["location"]
            assert url.startswith(f"{ministack.endpoint_url}/")
            there = await anybody.get(url)
            assert (there.status_code, there.content) == (200, CONTENT)
            assert there.headers["content-type"] == "application/octet-stream"
            assert 'filename="Binary-b.bin"' in there.headers["content-disposition"]
            assert (await anybody.get(url, headers={"Range": "bytes=4-9"})).content == CONTENT[4:10]
            head = await served.client.head("/fhir/Binary/b")
            assert (head.status_code, head.headers["content-length"]) == (200, str(len(CONTENT)))
            assert (await served.client.get("/fhir/Binary/b", headers={"If-None-Match": '"1"'})).status_code == 304
            assert (await served.client.get("/fhir/Binary/b", headers=AS_FHIR)).json()["data"]
            await put(served, b"short")
            assert (await served.client.get("/fhir/Binary/b")).content == b"short"
    finally:
        await objects.aclose()


def test_redirects_need_a_bucket() -> None:
    """The start is refused where the store has no URLs."""
    environment = {"FHIRSTORE_STORE": "file:x", "FHIRSTORE_BINARY_URLS": "presigned"}
    with pytest.raises(BadSetting, match="FHIRSTORE_BINARY_URLS=presigned: only a store s3://"):
        from_environment(environment)
    assert from_environment({**environment, "FHIRSTORE_STORE": "s3://b/p"}).binary_urls == "presigned"
