"""Every answer that S3 may give is told apart by what the commit protocol must do about it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from fhirstore.errors import (
    ConditionalConflict,
    ObjectArchived,
    ObjectError,
    ObjectNotFound,
    OutcomeUnknown,
    PreconditionFailed,
    StoreBusy,
    StoreMisconfigured,
    StoreUnavailable,
    WriteWindowClosed,
)
from fhirstore.objects.base import IF_ABSENT, IfMatch, ObjectStore
from fhirstore.objects.s3.options import S3Options
from fhirstore.objects.s3.store import S3Store
from tests.objects.s3.scripted_http import HANG_UP, ScriptedServer, Told, error
from tests.objects.store_under_test import MINUTE

MATCH = IfMatch('"abc"')
READS: dict[str, Callable[[ObjectStore], Awaitable[object]]] = {
    "get": lambda store: store.get("k"),
    "list": lambda store: store.list("k"),
}
WRITES: dict[str, Callable[[ObjectStore], Awaitable[object]]] = {
    "put": lambda store: store.put("k", b"x"),
    "put in a window": lambda store: store.put("k", b"x", expires=store.now() + MINUTE),
    "delete": lambda store: store.delete("k"),
    "delete many": lambda store: store.delete_many(["k"]),
}
CREATES: dict[str, Callable[[ObjectStore], Awaitable[object]]] = {
    "create": lambda store: store.put("k", b"x", condition=IF_ABSENT),
    "create in a window": lambda store: store.put("k", b"x", condition=IF_ABSENT, expires=store.now() + MINUTE),
}
UPDATES: dict[str, Callable[[ObjectStore], Awaitable[object]]] = {
    "update": lambda store: store.put("k", b"x", condition=MATCH),
    "update in a window": lambda store: store.put("k", b"x", condition=MATCH, expires=store.now() + MINUTE),
}


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ScriptedServer]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    async with ScriptedServer.running() as server:
        yield server


@asynccontextmanager
async def opened(server: ScriptedServer, **options: float) -> AsyncIterator[S3Store]:
    chosen = S3Options(
        endpoint_url=server.url,
        allow_http=True,
        attempts=int(options.get("attempts", 1)),
        backoff=0.001,
        request_timeout=options.get("request_timeout", 30),
    )
    store = await S3Store.open("s3://bucket/prefix", chosen)
    server.asked.clear()
    yield store
    await store.aclose()


async def outcome(request: Awaitable[object]) -> type[object]:
    try:
        return type(await request)
    except ObjectError as caught:
        return type(caught)


Kind = type[ObjectError]


def row(told: Told, reads: Kind, writes: Kind, conditional: Kind | None = None) -> tuple[Told, Kind, Kind, Kind]:
    """An answer, and what it is for reads, for unconditional and for conditional writes (the same unless given)."""
    return told, reads, writes, conditional or writes


TABLE = {
    "301": row(Told(301), StoreMisconfigured, StoreMisconfigured),
    "400 unknown": row(error(400, "Odd"), StoreMisconfigured, OutcomeUnknown),
    "400 timeout": row(error(400, "RequestTimeout"), StoreUnavailable, OutcomeUnknown),
    "400 token": row(error(400, "ExpiredToken", "The token has expired."), StoreMisconfigured, StoreMisconfigured),
    "403 denied": row(error(403, "AccessDenied", "Access Denied"), StoreMisconfigured, StoreMisconfigured),
    "403 signature": row(error(403, "SignatureDoesNotMatch"), StoreMisconfigured, StoreMisconfigured),
    "403 window": row(error(403, "AccessDenied", "Request has expired"), StoreMisconfigured, WriteWindowClosed),
    "403 archived": row(error(403, "InvalidObjectState"), ObjectArchived, StoreMisconfigured),
    "404 bucket": row(error(404, "NoSuchBucket"), StoreMisconfigured, StoreMisconfigured),
    "409": row(error(409, "ConditionalRequestConflict"), StoreMisconfigured, StoreBusy, ConditionalConflict),
    "412": row(error(412, "PreconditionFailed"), StoreMisconfigured, PreconditionFailed),
    "429": row(error(429, "TooManyRequests"), StoreBusy, StoreBusy),
    "500": row(error(500, "InternalError"), StoreUnavailable, OutcomeUnknown),
    "501": row(error(501, "NotImplemented"), StoreUnavailable, StoreMisconfigured),
    "502 of a proxy": row(Told(502, b"<html>bad gateway"), StoreUnavailable, OutcomeUnknown),
    "503": row(error(503, "SlowDown"), StoreBusy, StoreBusy),
    "504": row(Told(504), StoreUnavailable, OutcomeUnknown),
    "hang up": row(HANG_UP, StoreUnavailable, OutcomeUnknown),
}


@pytest.mark.parametrize(("told", "reads", "writes", "conditional"), TABLE.values(), ids=TABLE.keys())
async def test_each_answer_means_what_the_table_says(
    server: ScriptedServer, told: Told, reads: Kind, writes: Kind, conditional: Kind
) -> None:
    """An answer becomes the same error whichever client carried the request, and nothing is sent twice."""
    async with opened(server) as store:
        server.answer = lambda _: told
        groups = ((READS, reads), (WRITES, writes), (CREATES, conditional), (UPDATES, conditional))
        expected = {name: kind for group, kind in groups for name in group}
        requests = {**READS, **WRITES, **CREATES, **UPDATES}
        assert {name: await outcome(request(store)) for name, request in requests.items()} == expected
        assert len(server.asked) == len(requests)


async def test_absent_is_not_found_or_fails_the_condition(server: ScriptedServer) -> None:
    """404 without a lost bucket: a read finds nothing, If-Match fails, a delete has nothing to do."""
    async with opened(server) as store:
        server.answer = lambda _: error(404, "NoSuchKey")
        assert await outcome(store.get("k")) is ObjectNotFound
        for request in UPDATES.values():
            assert await outcome(request(store)) is PreconditionFailed
        assert await outcome(store.delete("k")) is type(None)


async def test_silence_is_an_unknown_outcome(server: ScriptedServer) -> None:
    """A write that is not answered in time may have been applied; a read that is not may be repeated."""
    async with opened(server, request_timeout=2) as store:
        server.answer = lambda _: Told(silent=True)
        reads = await asyncio.gather(*(outcome(request(store)) for request in READS.values()))
        writes = await asyncio.gather(*(outcome(r(store)) for r in (*WRITES.values(), *CREATES.values())))
        assert set(reads) == {StoreUnavailable}
        assert set(writes) == {OutcomeUnknown}


async def test_unreachable_store_is_busy_for_writers(server: ScriptedServer) -> None:
    """A write that never left is surely not applied."""
    async with opened(server) as store:
        await server.stop()
        await asyncio.sleep(0.1)  # lets the clients notice that their kept-alive connections are closed
        assert await outcome(store.get("k")) is StoreUnavailable
        for request in (*WRITES.values(), *CREATES.values(), *UPDATES.values()):
            assert await outcome(request(store)) is StoreBusy


async def test_what_may_be_repeated_is_and_nothing_else(server: ScriptedServer) -> None:
    """Reads and unconditional writes outlast a busy store; a conditional PUT is sent once."""
    async with opened(server, attempts=3) as store:
        empty = Told(body=b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
        for request in (*READS.values(), *WRITES.values()):
            server.asked.clear()
            server.answer = lambda _: error(503, "SlowDown") if len(server.asked) < 3 else empty
            await request(store)
            assert len(server.asked) == 3
            server.asked.clear()
            server.answer = lambda _: HANG_UP
            assert await outcome(request(store)) in (StoreUnavailable, OutcomeUnknown)
            assert len(server.asked) == 3
        for request in (*CREATES.values(), *UPDATES.values()):
            for told in (error(503, "SlowDown"), HANG_UP, error(500, "InternalError")):
                server.asked.clear()
                server.answer = lambda _, told=told: told  # type: ignore[misc] # mypy cannot infer a default's type here
                assert await outcome(request(store)) in (StoreBusy, OutcomeUnknown)
                assert len(server.asked) == 1


async def test_kept_alive_connection_that_breaks_does_not_repeat_a_put(server: ScriptedServer) -> None:
    """When a connection that worked before breaks under a conditional PUT, nobody sends the PUT again."""
    for request in (*CREATES.values(), *UPDATES.values()):
        server.answer = lambda _: Told()
        async with opened(server) as store:
            await request(store)
            server.answer = lambda _: HANG_UP
            assert await outcome(request(store)) is OutcomeUnknown
            assert len(server.asked) == 2


async def test_conditional_puts_carry_their_headers_and_no_expect(server: ScriptedServer) -> None:
    """If-None-Match: * and If-Match with the quoted ETag; no hidden round trip of Expect: 100-continue."""
    async with opened(server) as store:
        for request in (*CREATES.values(), *UPDATES.values()):
            await request(store)
    create, create_within, update, update_within = server.asked
    assert create.headers["if-none-match"] == create_within.headers["if-none-match"] == "*"
    assert update.headers["if-match"] == update_within.headers["if-match"] == '"abc"'
    assert not any("expect" in asked.headers for asked in server.asked)
    assert "X-Amz-Expires=" in create_within.target


async def test_window_never_outlasts_its_deadline(server: ScriptedServer) -> None:
    """The signature's last second is not behind `expires`, also where that is past: so the store refuses it."""
    async with opened(server) as store:
        for rest in (-MINUTE, -1, 0, 1, 900, 1000, 1001, 1999, 5000, MINUTE):
            server.asked.clear()
            deadline = store.now() + rest
            await store.put("k", b"x", expires=deadline)
            await store.delete("k", expires=deadline)
            assert [asked.method for asked in server.asked] == ["PUT", "DELETE"]
            for asked in server.asked:
                query = dict(pair.split("=") for pair in asked.target.partition("?")[2].split("&"))
                assert int(query["X-Amz-Expires"]) >= 1
                assert 0 <= deadline - signed_at(query["X-Amz-Date"]) - int(query["X-Amz-Expires"]) * 1000 < 1000


@pytest.mark.parametrize("status", [400, 403])
async def test_bare_denial_of_a_late_write_is_its_window(server: ScriptedServer, status: int) -> None:
    """AccessDenied without a reason says "too late" where the window was over, and "forbidden" where it was not."""
    async with opened(server) as store:
        server.answer = lambda _: error(status, "AccessDenied", "The difference of the times exceeds the maximum.")
        for expires, kind in ((store.now() - MINUTE, WriteWindowClosed), (store.now() + MINUTE, StoreMisconfigured)):
            assert await outcome(store.put("k", b"x", expires=expires)) is kind
            assert await outcome(store.put("k", b"x", condition=MATCH, expires=expires)) is kind
            assert await outcome(store.delete("k", expires=expires)) is kind


async def test_windowed_delete_is_sent_once(server: ScriptedServer) -> None:
    """A DELETE with a window is never repeated, whatever the answer."""
    async with opened(server, attempts=3) as store:
        for told, kind in ((error(503, "SlowDown"), StoreBusy), (HANG_UP, OutcomeUnknown), (Told(500), OutcomeUnknown)):
            server.asked.clear()
            server.answer = lambda _, told=told: told  # type: ignore[misc] # mypy cannot infer a default's type here
            assert await outcome(store.delete("k", expires=store.now() + MINUTE)) is kind
            assert len(server.asked) == 1


async def test_undeleted_keys_are_reported(server: ScriptedServer) -> None:
    """A batch delete that fails for one key raises with that key, relative to the store."""
    async with opened(server) as store:
        refused = b"<DeleteResult><Error><Key>prefix/b</Key><Code>InternalError</Code></Error></DeleteResult>"
        server.answer = lambda _: Told(body=refused)
        with pytest.raises(OutcomeUnknown) as caught:
            await store.delete_many(["a", "b"])
        assert caught.value.key == "b"


async def test_broken_download_goes_on_where_it_broke(server: ScriptedServer) -> None:
    """A stream whose connection breaks asks for the rest of the same ETag; a replaced object is an error."""
    body = bytes(range(256)) * 1000
    async with opened(server, attempts=3) as store:

        def halves(_: object) -> Told:
            if len(server.asked) == 1:
                return Told(body=body, cut=100_000)
            start = int(server.asked[-1].headers["range"].removeprefix("bytes=").partition("-")[0])
            rest = {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}
            return Told(206, body[start:], rest)

        server.answer = halves
        async with store.get_stream("k") as stream:
            assert b"".join([chunk async for chunk in stream]) == body
        assert len(server.asked) == 2
        assert server.asked[1].headers["if-match"] == '"abc"'

        server.asked.clear()
        server.answer = lambda _: (
            Told(body=body, cut=100_000) if len(server.asked) == 1 else error(412, "PreconditionFailed")
        )
        async with store.get_stream("k") as stream:
            with pytest.raises(StoreUnavailable, match="replaced"):
                [chunk async for chunk in stream]


@pytest.mark.parametrize("body", [b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", b"not xml", b"<a", b"<a>\0</a>"])
async def test_malformed_lists_are_refused(server: ScriptedServer, body: bytes) -> None:
    """A LIST answer that is no plain XML is an unavailable store, and DTDs are not looked at."""
    async with opened(server) as store:
        server.answer = lambda _: Told(body=body)
        with pytest.raises(StoreUnavailable):
            await store.list("")


def signed_at(stamp: str) -> int:
    """X-Amz-Date as epoch ms."""
    return int(datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()) * 1000
