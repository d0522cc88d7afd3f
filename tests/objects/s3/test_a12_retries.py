"""A12: requests are repeated as the settings say, with growing jittered waits, seen by an observer, and never blindly
where they are conditional."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from fhirstore.errors import ObjectArchived, ObjectError, OutcomeUnknown, StoreBusy, StoreUnavailable
from fhirstore.objects import Facts, Repeat, S3Options
from fhirstore.objects.base import IF_ABSENT, IfMatch
from fhirstore.objects.s3.circuit import FAILURES
from fhirstore.objects.s3.store import S3Store
from server.settings import BadSetting, from_environment
from tests.objects.s3.scripted_http import HANG_UP, Asked, ScriptedServer, Told, error
from tests.objects.store_under_test import MINUTE

TAGGED = Facts(tags={"kind": "version"})
KINDS_OF_PUT = [
    (condition, facts, windowed)
    for condition in (IF_ABSENT, IfMatch('"abc"'))
    for facts in (None, TAGGED)
    for windowed in (False, True)
]


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ScriptedServer]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    async with ScriptedServer.running() as server:
        yield server


@asynccontextmanager
async def opened(server: ScriptedServer, told: Told, **variables: str) -> AsyncIterator[tuple[S3Store, list[Repeat]]]:
    """Opens a store as a server with these settings does; it answers everything with `told`."""
    seen: list[Repeat] = []
    env = {"FHIRSTORE_S3_ENDPOINT_URL": server.url, "FHIRSTORE_S3_ALLOW_HTTP": "true", **variables}
    from_settings = from_environment({f"FHIRSTORE_{k}" if "FHIRSTORE" not in k else k: v for k, v in env.items()}).s3
    options = S3Options(
        **{name: getattr(from_settings, name) for name in from_settings.__slots__ if name != "on_repeat"},
        on_repeat=seen.append,
    )
    server.answer = lambda _: Told()
    store = await S3Store.open("s3://bucket/prefix", options)
    server.asked.clear()
    server.answer = lambda _: told
    yield store, seen
    await store.aclose()


async def failed(request: Awaitable[object]) -> type[object]:
    try:
        return type(await request)
    except ObjectError as caught:
        return type(caught)


@pytest.mark.parametrize("attempts", ["1", "7"])
@pytest.mark.parametrize("told", [error(503, "SlowDown"), error(500, "InternalError"), HANG_UP], ids=str)
async def test_a12_a_conditional_put_is_sent_once_whatever_the_settings(
    server: ScriptedServer, told: Told, attempts: str
) -> None:
    """With any number of attempts and any failure, one call is one request, and no repeat is told."""
    async with opened(server, told, S3_ATTEMPTS=attempts, S3_BACKOFF="0.001") as (store, seen):
        for condition, facts, windowed in KINDS_OF_PUT:
            server.asked.clear()
            expires = store.now() + MINUTE if windowed else None
            put = store.put("k", b"x", condition=condition, facts=facts, expires=expires)
            assert await failed(put) in (StoreBusy, OutcomeUnknown)
            assert len(server.asked) == 1
        assert seen == []


@pytest.mark.parametrize("attempts", [1, 2, 5])
async def test_a12_other_requests_are_sent_as_often_as_the_setting_says(server: ScriptedServer, attempts: int) -> None:
    """Reads, deletes and unconditional PUTs: each attempt is a request, and each repeat is told with its verb."""
    variables = {"S3_ATTEMPTS": str(attempts), "S3_BACKOFF": "0.001"}
    async with opened(server, error(503, "SlowDown"), **variables) as (store, seen):
        requests: dict[str, Callable[[], Awaitable[object]]] = {
            "GET": lambda: store.get("k"),
            "HEAD": lambda: store.stat("k"),
            "LIST": lambda: store.list("k"),
            "PUT": lambda: store.put("k", b"x"),
            "DELETE": lambda: store.delete("k"),
        }
        for verb, request in requests.items():
            store._s3.circuit.answered()
            server.asked.clear()
            seen.clear()
            assert await failed(request()) is StoreBusy
            assert len(server.asked) == attempts, verb
            assert [(one.verb, one.number, one.busy) for one in seen] == [(verb, n, True) for n in range(1, attempts)]


async def test_a12_a_repeat_after_silence_is_not_told_as_busy(server: ScriptedServer) -> None:
    """The observer can tell a store that asks to slow down from one that does not answer."""
    async with opened(server, HANG_UP, S3_ATTEMPTS="2", S3_BACKOFF="0.001") as (store, seen):
        assert await failed(store.get("k")) is StoreUnavailable
        assert [(one.verb, one.busy) for one in seen] == [("GET", False)]


def test_a12_waits_grow_are_capped_and_jittered() -> None:
    """The longest wait doubles up to the cap; waits are spread over all of it."""
    options = S3Options(backoff=0.1, backoff_cap=1.0)
    state = random.getstate()
    random.seed(12)
    try:
        waits = {failures: [options.pause(failures) for _ in range(400)] for failures in (1, 2, 3, 4, 5, 50, 5_000)}
    finally:
        random.setstate(state)
    for failures, drawn in waits.items():
        longest = min(1.0, 0.1 * 2.0 ** min(failures - 1, 60))
        assert max(drawn) <= longest
        assert max(drawn) > 0.9 * longest
        assert min(drawn) < 0.1 * longest
        tenths = Counter(int(10 * wait / longest) for wait in drawn)
        assert len(tenths) >= 10 and max(tenths.values()) < 80, "spread evenly"


async def test_a12_an_archived_object_is_read_once_and_is_no_failure_of_the_store(server: ScriptedServer) -> None:
    """It is an answer: nothing is repeated, and the circuit stays closed however often it comes."""
    async with opened(server, error(403, "InvalidObjectState"), S3_ATTEMPTS="5") as (store, seen):
        for _ in range(FAILURES + 5):
            with pytest.raises(ObjectArchived):
                await store.get("resources/Patient/a/_history/1.json")
        with pytest.raises(ObjectArchived):
            async with store.get_stream("k"):
                pass
        assert len(server.asked) == FAILURES + 6
        assert seen == []
        assert store._s3.circuit.refused() == 0


async def test_a12_copying_an_archived_object_says_so(server: ScriptedServer) -> None:
    """S3 refuses the copy, not the HEAD before it."""
    async with opened(server, Told()) as (store, seen):

        def answer(asked: Asked) -> Told:
            return Told() if asked.method == "HEAD" else error(403, "ObjectNotInActiveTierError")

        server.answer = answer
        with pytest.raises(ObjectArchived):
            await store.copy("a", "b")
        assert seen == []


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({"FHIRSTORE_S3_BACKOFF": "9", "FHIRSTORE_S3_BACKOFF_MAX": "3"}, "FHIRSTORE_S3_BACKOFF: the first wait, 9 s"),
        (
            {"FHIRSTORE_S3_CONNECT_TIMEOUT": "9", "FHIRSTORE_S3_REQUEST_TIMEOUT": "3"},
            "FHIRSTORE_S3_CONNECT_TIMEOUT: a connection may take 9 s, and the whole request only 3 s",
        ),
        ({"FHIRSTORE_S3_ATTEMPTS": "0"}, "FHIRSTORE_S3_ATTEMPTS: must be a whole number from 1 to 20"),
        ({"FHIRSTORE_S3_ATTEMPTS": "21"}, "FHIRSTORE_S3_ATTEMPTS: must be a whole number from 1 to 20"),
        ({"FHIRSTORE_S3_BACKOFF": "-1"}, "FHIRSTORE_S3_BACKOFF: must be a positive number of seconds"),
        ({"FHIRSTORE_TAGS": "versions,exprots"}, "FHIRSTORE_TAGS: must be some of exports, payloads, submissions"),
    ],
)
def test_a12_settings_that_contradict_each_other_stop_the_start(env: dict[str, str], told: str) -> None:
    """The message names the variable and what it may be."""
    with pytest.raises(BadSetting) as caught:
        from_environment(env)
    assert told in str(caught.value)


def test_a12_settings_reach_the_connection() -> None:
    """Every one of them is an option of the store."""
    env = {
        "FHIRSTORE_S3_ATTEMPTS": "9",
        "FHIRSTORE_S3_BACKOFF": "0.5",
        "FHIRSTORE_S3_BACKOFF_MAX": "8",
        "FHIRSTORE_S3_CONNECT_TIMEOUT": "2",
        "FHIRSTORE_S3_REQUEST_TIMEOUT": "70",
    }
    options = from_environment(env).s3
    assert (options.attempts, options.backoff, options.backoff_cap) == (9, 0.5, 8.0)
    assert (options.connect_timeout, options.request_timeout) == (2.0, 70.0)
