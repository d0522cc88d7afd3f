"""Multipart uploads to S3 end well whatever the store answers, and when it answers nothing."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest

from fhirstore.errors import (
    ConditionalConflict,
    ObjectError,
    ObjectNotFound,
    OutcomeUnknown,
    PreconditionFailed,
    RequestRefused,
    StoreBusy,
    StoreCannot,
    UploadNotFound,
)
from fhirstore.objects.base import IF_ABSENT, IfMatch
from fhirstore.objects.facts import Facts
from fhirstore.objects.s3 import copying
from fhirstore.objects.s3.options import S3Options
from fhirstore.objects.s3.store import S3Store
from tests.objects.s3.scripted_http import HANG_UP, Asked, ScriptedServer, Told, error
from tests.objects.store_under_test import MIB, chunks_of

PART = 5 * MIB
CREATED = Told(body=b"<Result><UploadId>U1</UploadId></Result>")
COMPLETED = Told(body=b'<Result><ETag>"whole"</ETag></Result>')


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ScriptedServer]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    async with ScriptedServer.running() as server:
        yield server


@asynccontextmanager
async def opened(server: ScriptedServer, *, attempts: int = 3, request_timeout: float = 30.0) -> AsyncIterator[S3Store]:
    options = S3Options(
        endpoint_url=server.url,
        allow_http=True,
        attempts=attempts,
        backoff=0.001,
        request_timeout=request_timeout,
    )
    store = await S3Store.open("s3://bucket/prefix", options)
    server.asked.clear()
    yield store
    await store.aclose()


def step_of(asked: Asked) -> str:
    """What a request is for: create, part, complete, abort, head, put, copy."""
    query = asked.target.partition("?")[2]
    if "uploads=" in query:
        return "create"
    if "uploadId=" in query:
        return {"PUT": "part", "POST": "complete", "DELETE": "abort"}[asked.method]
    return "copy" if "x-amz-copy-source" in asked.headers else asked.method.lower()


def answering(**told: Told | Callable[[Asked], Told]) -> Callable[[Asked], Told]:
    """Answers by step; what is not named goes well."""
    usual = {"create": CREATED, "complete": COMPLETED, "abort": Told(204)}

    def answer(asked: Asked) -> Told:
        step = step_of(asked)
        chosen = told.get(step, usual.get(step, Told(headers={"ETag": f'"{md5(asked.body).hex()}"'})))
        return chosen if isinstance(chosen, Told) else chosen(asked)

    return answer


def body_of(parts: int) -> AsyncIterator[bytes]:
    return chunks_of([b"x" * PART] * parts)


async def until(there: Callable[[], bool]) -> None:
    """Wait for what the server has been asked."""
    async with asyncio.timeout(30):
        while not there():  # noqa: ASYNC110 - the server keeps no event for it
            await asyncio.sleep(0.001)


def md5(body: bytes) -> bytes:
    return hashlib.md5(body, usedforsecurity=False).digest()


def steps(server: ScriptedServer) -> list[str]:
    return [step_of(asked) for asked in server.asked]


async def test_upload_cancelled_while_it_is_created_is_aborted(server: ScriptedServer) -> None:
    """The caller goes at once; the abort follows when the store has said the upload's id."""
    held = asyncio.Event()
    server.answer = answering(create=Told(body=CREATED.body, held=held))
    async with opened(server) as store:
        for begin in (store.put_stream("k", body_of(2), part_size=PART), store.create_upload("k")):
            held.clear()
            server.asked.clear()
            task = asyncio.create_task(begin)
            await until(lambda: len(server.asked) == 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert steps(server) == ["create"]
            held.set()
            await until(lambda: len(server.asked) == 2)
            assert steps(server) == ["create", "abort"]
            assert "uploadId=U1" in server.asked[1].target


async def test_closing_waits_for_the_abort(server: ScriptedServer) -> None:
    """A store that is closed meanwhile still sends it."""
    held = asyncio.Event()
    server.answer = answering(create=Told(body=CREATED.body, held=held))
    async with opened(server) as store:
        task = asyncio.create_task(store.create_upload("k"))
        await until(lambda: len(server.asked) == 1)
        task.cancel()
        await asyncio.wait([task])
        asyncio.get_running_loop().call_later(0.05, held.set)
    assert steps(server) == ["create", "abort"]


async def test_upload_cancelled_among_its_parts_is_aborted_after_them(server: ScriptedServer) -> None:
    """No part is under way any more when the abort is sent, so none can come after it."""
    server.answer = answering(part=Told(silent=True))
    async with opened(server) as store:
        task = asyncio.create_task(store.put_stream("k", body_of(6), part_size=PART, concurrency=3))
        await until(lambda: steps(server).count("part") == 3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert steps(server) == ["create", "part", "part", "part", "abort"]


async def test_parts_at_once_are_bounded(server: ScriptedServer) -> None:
    """While parts are under way no more of the body is asked for than fits into the memory allowed."""
    held = asyncio.Event()
    server.answer = answering(part=lambda _: Told(headers={"ETag": '"p"'}, held=held))
    given = 0

    async def source() -> AsyncIterator[bytes]:
        nonlocal given
        for _ in range(8):
            given += 1
            yield b"x" * PART

    async with opened(server) as store:
        for concurrency in (1, 3):
            held.clear()
            given = 0
            task = asyncio.create_task(store.put_stream("k", source(), part_size=PART, concurrency=concurrency))
            server.asked.clear()
            await until(partial(lambda most: steps(server).count("part") >= most, concurrency))
            await asyncio.sleep(0.05)
            assert (given, steps(server).count("part")) == (concurrency, concurrency)
            held.set()
            await task
            assert given == 8


async def test_failed_part_is_repeated_and_then_ends_the_upload(server: ScriptedServer) -> None:
    """A busy or silent store is asked again for that part alone; when it stays so, the upload is aborted."""
    failures = 2

    def sometimes(asked: Asked) -> Told:
        nonlocal failures
        if "partNumber=2" in asked.target and failures:
            failures -= 1
            return (error(503, "SlowDown"), HANG_UP)[failures]
        return Told(headers={"ETag": '"p"'})

    async with opened(server) as store:
        server.answer = answering(part=sometimes)
        await store.put_stream("k", body_of(3), part_size=PART)
        assert sorted(steps(server)) == ["complete", "create", *["part"] * 5]
        server.asked.clear()
        server.answer = answering(part=error(503, "SlowDown"))
        with pytest.raises(StoreBusy):
            await store.put_stream("k", body_of(1), part_size=PART)
        assert steps(server) == ["create", "part", "part", "part", "abort"]


async def test_silent_store_ends_an_upload(server: ScriptedServer) -> None:
    """Each request has a deadline, so an upload to a store that says nothing more ends."""
    async with opened(server, attempts=1, request_timeout=0.2) as store:
        server.answer = answering(create=Told(silent=True))
        with pytest.raises(OutcomeUnknown):
            await store.create_upload("k")
        server.answer = answering(abort=Told(silent=True))
        with pytest.raises(OutcomeUnknown):
            await store.abort_upload("k", "U1")


@pytest.mark.parametrize("there", [True, False])
async def test_completion_whose_answer_was_lost_is_told_by_the_etag(server: ScriptedServer, there: bool) -> None:
    """A store that knows no such upload after a try without an answer has completed it, if the object's ETag is that of
    the parts; else nobody knows."""
    etag = f'"{md5(md5(b"x" * PART)).hex()}-1"'
    answers = iter([HANG_UP, error(404, "NoSuchUpload")])
    head = Told(headers={"ETag": etag if there else '"older"'})
    server.answer = answering(complete=lambda _: next(answers), head=head)
    async with opened(server) as store:
        if there:
            assert (await store.put_stream("k", body_of(1), part_size=PART)).etag == etag
            assert "abort" not in steps(server)
        else:
            with pytest.raises(OutcomeUnknown):
                await store.put_stream("k", body_of(1), part_size=PART)
            assert steps(server)[-1] == "abort"


@pytest.mark.parametrize("ours", [True, False])
async def test_completion_is_told_by_its_time_where_etags_are_opaque(server: ScriptedServer, ours: bool) -> None:
    """With SSE-KMS no ETag can be computed: an object that is no older than the try is ours, since the key is."""
    answers = iter([HANG_UP, error(404, "NoSuchUpload")])
    modified = {} if ours else {"Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
    head = Told(headers={"ETag": '"opaque"', "x-amz-server-side-encryption": "aws:kms", **modified})
    server.answer = answering(complete=lambda _: next(answers), head=head)
    async with opened(server) as store:
        if ours:
            assert (await store.put_stream("k", body_of(1), part_size=PART)).etag == '"opaque"'
        else:
            with pytest.raises(OutcomeUnknown):
                await store.put_stream("k", body_of(1), part_size=PART)
        assert ("abort" in steps(server)) is not ours


async def test_error_in_a_200_is_an_error(server: ScriptedServer) -> None:
    """S3 says 200 before it has put the parts together, or copied; what it says then counts. So does nonsense."""
    late = Told(body=b'<?xml version="1.0"?>\n<Error><Code>InternalError</Code><Message>m</Message></Error>')
    async with opened(server, attempts=1) as store:
        for odd in (late, Told(body=b"<html>"), Told(body=b"<!DOCTYPE a><a/>"), Told(body=b"<a/>"), Told()):
            server.answer = answering(create=odd, complete=odd, copy=odd)
            for request in (
                store.create_upload("k"),
                store.complete_upload("k", "U1", [(1, "e")]),
                store.copy("a", "b"),
            ):
                with pytest.raises(OutcomeUnknown):
                    await request


TABLE: dict[str, tuple[Told, type[ObjectError]]] = {
    "no upload": (error(404, "NoSuchUpload"), UploadNotFound),
    "small part": (error(400, "EntityTooSmall"), RequestRefused),
    "wrong part": (error(400, "InvalidPart"), RequestRefused),
    "wrong order": (error(400, "InvalidPartOrder"), RequestRefused),
    "not there": (error(501, "NotImplemented"), StoreCannot),
    "busy": (error(503, "SlowDown"), StoreBusy),
    "failing": (error(500, "InternalError"), OutcomeUnknown),
    "no object": (error(404, "NoSuchKey"), ObjectNotFound),
}


@pytest.mark.parametrize(("told", "kind"), TABLE.values(), ids=TABLE.keys())
async def test_each_answer_to_a_step_has_its_error(server: ScriptedServer, told: Told, kind: type[ObjectError]) -> None:
    """What the caller should do differs, so do the errors; each names the key as the caller knows it."""
    async with opened(server, attempts=1) as store:
        server.answer = lambda asked: Told() if asked.method == "HEAD" else told
        for request in (
            store.put_part("k", "U1", 1, b"x"),
            store.complete_upload("k", "U1", [(1, "e")]),
            store.set_tags("k", {"a": "b"}),
            store.copy("s", "k"),
        ):
            with pytest.raises(kind) as caught:
                await request
            assert (type(caught.value), caught.value.key) == (kind, "k")


async def test_put_with_facts_has_the_errors_of_a_put(server: ScriptedServer) -> None:
    """Conditions are told as without facts; what the store cannot or will not carry is told, too."""
    facts = Facts(tags={"a": "b"})
    async with opened(server, attempts=1) as store:
        for told, condition, kind in (
            (error(412, "PreconditionFailed"), IF_ABSENT, PreconditionFailed),
            (error(404, "NoSuchKey"), IfMatch('"e"'), PreconditionFailed),
            (error(409, "ConditionalRequestConflict"), IF_ABSENT, ConditionalConflict),
            (error(501, "NotImplemented"), None, StoreCannot),
            (error(400, "InvalidTag"), None, RequestRefused),
            (error(503, "SlowDown"), None, StoreBusy),
            (HANG_UP, None, OutcomeUnknown),
        ):
            server.answer = lambda _, told=told: told  # type: ignore[misc]
            with pytest.raises(kind):
                await store.put("k", b"x", condition=condition, facts=facts)


async def test_large_body_with_facts_is_sent_in_one_request(server: ScriptedServer) -> None:
    """As one PUT with its length, its MD5 and its facts, all of which are signed that must be."""
    body = b"0123456789" * 300_000
    async with opened(server) as store:
        await store.put("k", body, facts=Facts(content_type="text/plain", metadata={"a": "b"}))
        (asked,) = server.asked
        assert (asked.body == body, asked.headers["content-length"]) == (True, str(len(body)))
        assert asked.headers["content-md5"] == base64.b64encode(md5(body)).decode()
        assert "X-Amz-SignedHeaders=content-type%3Bhost%3Bx-amz-meta-a&" in asked.target


async def test_object_above_five_gigabytes_is_copied_by_ranges(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each range once and no byte twice, of the version that was looked at, with the facts of the source."""
    monkeypatch.setattr(copying, "WHOLE", 1000)
    monkeypatch.setattr(copying, "RANGE", 400)
    facts = {"Content-Type": "text/csv", "x-amz-meta-run": "7", "ETag": '"v1"'}
    tags = Told(body=b"<Tagging><TagSet><Tag><Key>a</Key><Value>b c</Value></Tag></TagSet></Tagging>")
    server.answer = answering(
        head=Told(body=b"x" * 1001, headers=facts),
        get=tags,
        part=lambda asked: Told(body=b"<R><ETag>%s</ETag></R>" % asked.headers["x-amz-copy-source-range"].encode()),
    )
    async with opened(server) as store:
        assert (await store.copy("a b", "k")).etag == '"whole"'
        (create,) = [asked for asked in server.asked if step_of(asked) == "create"]
        assert [create.headers[name] for name in ("content-type", "x-amz-meta-run", "x-amz-tagging")] == [
            "text/csv",
            "7",
            "a=b%20c",
        ]
        parts = [asked.headers for asked in server.asked if step_of(asked) == "part"]
        ranges = ["bytes=0-399", "bytes=400-799", "bytes=800-1000"]
        assert sorted(part["x-amz-copy-source-range"] for part in parts) == ranges
        assert {part["x-amz-copy-source"] for part in parts} == {"/bucket/prefix/a%20b"}
        assert {part["x-amz-copy-source-if-match"] for part in parts} == {'"v1"'}
        server.asked.clear()
        server.answer = answering(head=Told(body=b"x" * 1001), get=tags, part=error(412, "PreconditionFailed"))
        with pytest.raises(StoreBusy, match="replaced while it was copied"):
            await store.copy("a", "k")
        assert steps(server)[-1] == "abort"


async def test_too_many_parts_are_refused(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that S3 could not complete ends at its first part too many, and is aborted."""
    monkeypatch.setattr("fhirstore.objects.s3.uploads.MOST_PARTS", 2)
    server.answer = answering()
    async with opened(server) as store:
        with pytest.raises(RequestRefused, match="use larger ones"):
            await store.put_stream("k", body_of(3), part_size=PART)
        assert (steps(server)[-1], "complete" in steps(server)) == ("abort", False)
