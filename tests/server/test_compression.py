"""Answers go out compressed for who takes them so; compressed request bodies are unpacked within the limit."""

from __future__ import annotations

import gzip
import time
import zlib
from collections.abc import AsyncIterator

import brotli
import httpx
import pytest
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope

from server.content.compress import CompressedSend, coding_for
from server.content.inflate import TooMuch, inflater
from server.settings import Settings
from tests.server.serving import FHIR_JSON, Served, serving

LONG = b'{"resourceType":"Basic","id":"b","code":{"text":"%s"}}' % (b"long " * 2000)
PACK = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "identity": bytes,
    "GZIP": gzip.compress,
}


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip", "gzip"),
        ("x-gzip", "gzip"),
        ("br", "br"),
        ("gzip, deflate, br", "br"),
        ("gzip;q=1.0, br;q=0.9", "gzip"),
        ("*", "br"),
        ("*;q=0.5, br;q=0", "gzip"),
        ("identity", None),
        ("identity;q=1, gzip;q=0.5", None),
        ("gzip;q=0, br;q=0", None),
        ("gzip;q=0", None),
        ("deflate, zstd", None),
        ("", None),
        ("gzip;q=nonsense", None),
    ],
)
def test_accept_encoding_chooses_by_quality(accepted: str, coding: str | None) -> None:
    """br before gzip where the client does not care; none where it prefers none."""
    assert coding_for(accepted) == coding


@pytest.mark.parametrize("coding", ["gzip", "br"])
async def test_a_long_answer_is_compressed(served: Served, coding: str) -> None:
    """Same resource, fewer bytes; the tag stays, since it is a weak one."""
    await served.client.put("/fhir/Basic/b", content=LONG, headers=FHIR_JSON)
    plain = await served.client.get("/fhir/Basic/b", headers={"Accept-Encoding": "identity"})
    packed = await served.client.get("/fhir/Basic/b", headers={"Accept-Encoding": coding})
    assert packed.headers["content-encoding"] == coding
    assert packed.content == plain.content
    assert int(packed.headers["content-length"]) < len(plain.content) / 10
    assert packed.headers["etag"] == plain.headers["etag"]
    assert "content-encoding" not in plain.headers
    assert "Accept-Encoding" in plain.headers["vary"]


async def test_short_answers_and_those_without_a_body_are_left_alone(served: Served) -> None:
    """What fits into a packet, 204 and 304."""
    await served.client.put("/fhir/Basic/b", content=LONG, headers=FHIR_JSON)
    packed = {"Accept-Encoding": "gzip"}
    for answer in (
        await served.client.get("/fhir/Basic/none", headers=packed),
        await served.client.get("/fhir/Basic/b", headers=packed | {"If-None-Match": "*"}),
        await served.client.delete("/fhir/Basic/b", headers=packed),
    ):
        assert "content-encoding" not in answer.headers


@pytest.mark.parametrize("coding", ["gzip", "br"])
async def test_a_streamed_answer_is_compressed_as_it_comes(coding: str) -> None:
    """Every piece leaves at once, and what was encoded already is passed on."""
    sent: list[Message] = []
    pieces = [b"first " * 500, b"", b"second " * 500]

    async def app(scope: Scope, receive: Receive, headers: dict[str, str]) -> bytes:
        async def stream() -> AsyncIterator[bytes]:
            for piece in pieces:
                yield piece

        async def send(message: Message) -> None:
            sent.append(message)

        sent.clear()
        await StreamingResponse(stream(), headers=headers, media_type="text/plain")(
            scope, receive, CompressedSend(send, coding)
        )
        return b"".join(message.get("body", b"") for message in sent)

    async def receive() -> Message:
        return {"type": "http.disconnect"} if len(sent) > 9 else {"type": "http.request", "body": b""}

    scope: Scope = {"type": "http", "method": "GET", "asgi": {"spec_version": "2.4"}}
    body = await app(scope, receive, {})
    unpack = gzip.decompress if coding == "gzip" else brotli.decompress
    assert unpack(body) == b"".join(pieces)
    assert (b"content-encoding", coding.encode()) in sent[0]["headers"]
    assert not any(name == b"content-length" for name, _ in sent[0]["headers"])
    first = zlib.decompressobj(31).decompress(sent[1]["body"]) if coding == "gzip" else pieces[0]
    assert first == pieces[0]
    assert await app(scope, receive, {"Content-Encoding": "zstd"}) == b"".join(pieces)


@pytest.mark.parametrize("coding", list(PACK))
async def test_a_compressed_body_is_read(served: Served, coding: str) -> None:
    """gzip, deflate and br."""
    packed = PACK[coding](LONG)
    answer = await served.client.put("/fhir/Basic/b", content=packed, headers=FHIR_JSON | {"Content-Encoding": coding})
    assert answer.status_code == 201
    assert answer.json()["code"] == {"text": "long " * 2000}


@pytest.mark.parametrize("coding", ["zstd", "gzip, gzip", "compress"])
async def test_a_coding_that_is_not_read_is_415(served: Served, coding: str) -> None:
    """And the answer says what is."""
    answer = await served.client.put("/fhir/Basic/b", content=b"x", headers=FHIR_JSON | {"Content-Encoding": coding})
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "gzip, deflate, br")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
@pytest.mark.parametrize("spoil", ["cut", "garbage", "plain"])
async def test_a_body_that_is_not_what_it_says_is_400(served: Served, coding: str, spoil: str) -> None:
    """Cut short, broken, or not compressed at all."""
    packed = PACK[coding](LONG)
    body = {"cut": packed[:-5], "garbage": packed[:10] + b"\xff" * 20, "plain": LONG}[spoil]
    answer = await served.client.put("/fhir/Basic/b", content=body, headers=FHIR_JSON | {"Content-Encoding": coding})
    assert answer.status_code == 400
    assert "Content-Encoding" in answer.json()["issue"][0]["diagnostics"]


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
@pytest.mark.slow
async def test_a_bomb_is_413_and_costs_no_more_than_the_limit(coding: str) -> None:
    """64 MB in a few kilobytes, against a limit of 1 MB."""
    if coding == "br":
        packer = brotli.Compressor()
        bomb = b"".join(packer.process(bytes(1 << 20)) for _ in range(64)) + packer.finish()
    else:
        stream = zlib.compressobj(9, zlib.DEFLATED, 31 if coding == "gzip" else 15)
        bomb = b"".join(stream.compress(bytes(1 << 20)) for _ in range(64)) + stream.flush()
    assert len(bomb) < 1_000_000
    async with serving(Settings(max_body=1 << 20)) as served:
        answer = await served.client.put(
            "/fhir/Basic/b", content=bomb, headers=FHIR_JSON | {"Content-Encoding": coding}
        )
    assert answer.status_code == 413
    assert "1,048,576" in answer.json()["issue"][0]["diagnostics"]


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
def test_exactly_the_limit_is_let_through(coding: str) -> None:
    """And one byte more is not, however the pieces fall."""
    for piece in (1, 7, 1 << 16):
        for size, fits in ((70_000, True), (70_001, False)):
            unpack = inflater(coding, 70_000)
            assert unpack is not None
            packed = PACK[coding](bytes(size))
            try:
                out = b"".join(unpack.feed(packed[at : at + piece]) for at in range(0, len(packed), piece))
                unpack.end()
                assert fits and out == bytes(size)
            except TooMuch:
                assert not fits


async def test_gzip_of_many_members_is_read_up_to_a_bound(served: Served) -> None:
    """As `cat a.gz b.gz` makes it; thousands of empty members are refused, and swiftly."""
    halves = gzip.compress(LONG[:100]) + gzip.compress(LONG[100:])
    packed = FHIR_JSON | {"Content-Encoding": "gzip"}
    assert (await served.client.put("/fhir/Basic/b", content=halves, headers=packed)).status_code == 201
    begun = time.monotonic()
    empty = gzip.compress(b"") * 200_000
    assert (await served.client.put("/fhir/Basic/b", content=empty, headers=packed)).status_code == 400
    assert time.monotonic() - begun < 10


async def test_xml_and_forms_may_come_compressed(served: Served) -> None:
    """Every body is unpacked the same way."""
    xml = b'<Basic xmlns="http://hl7.org/fhir"><code><text value="x"/></code></Basic>'
    answer = await served.client.post(
        "/fhir/Basic",
        content=gzip.compress(xml),
        headers={"Content-Type": "application/fhir+xml", "Content-Encoding": "gzip"},
    )
    assert answer.status_code == 201
    form = {"Content-Type": "application/x-www-form-urlencoded", "Content-Encoding": "br"}
    found = await served.client.post(
        "/fhir/Basic/_search", content=brotli.compress(f"_id={answer.json()['id']}".encode()), headers=form
    )
    assert found.json()["total"] == 1


async def test_a_refusal_of_a_long_body_stays_whole(served: Served) -> None:
    """413 tells its length, so that a client that still writes can read it to its end."""
    answer: httpx.Response = await served.client.put(
        "/fhir/Basic/b", content=b" " * 17_000_000, headers=FHIR_JSON | {"Accept-Encoding": "gzip"}
    )
    assert (answer.status_code, answer.headers["content-length"]) == (413, str(len(answer.content)))
