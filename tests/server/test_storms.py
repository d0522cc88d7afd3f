"""A store in trouble is asked a few times for each request of a client, not dozens of times; then not at all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.retries import REPEATS, TRIES
from fhirstore.objects.s3.circuit import FAILURES
from fhirstore.objects.s3.options import S3Options
from fhirstore.objects.s3.store import S3Store
from fhirstore.objects.wrappers.faulty import FaultRates, FaultyStore
from server.settings import Settings
from tests.objects.s3.scripted_http import HANG_UP, Asked, ScriptedServer, Told, error
from tests.server.serving import FHIR_JSON, serving

SLOW_DOWN = error(503, "SlowDown")
CREATION = b'{"resourceType":"Patient","active":true}'
TEN = "/fhir/Patient?_id=a,b,c,d,e,f,g,h,i,j"
BATCH = b'{"resourceType":"Bundle","type":"batch","entry":[%s]}' % b",".join(
    b'{"request":{"method":"GET","url":"Patient/%d"}}' % number for number in range(10)
)
Bucket = tuple[ScriptedServer, httpx.AsyncClient]


@asynccontextmanager
async def bucket(monkeypatch: pytest.MonkeyPatch, settings: Settings | None = None) -> AsyncIterator[Bucket]:
    """The app on a real S3 client, and the bucket, which answers as a test says."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    async with ScriptedServer.running() as server:
        options = S3Options(endpoint_url=server.url, allow_http=True, backoff=0.001)
        objects = await S3Store.open("s3://bucket/p", options)
        server.asked.clear()
        async with serving(settings, objects) as served:
            yield server, served.client
        await objects.aclose()


@pytest.mark.parametrize("told", [SLOW_DOWN, error(500, "InternalError"), HANG_UP], ids=["503", "500", "hang up"])
async def test_one_read_is_three_requests_in_a_storm(monkeypatch: pytest.MonkeyPatch, told: Told) -> None:
    """However many levels there are that repeat, they share one budget."""
    async with bucket(monkeypatch) as (server, client):
        server.answer = lambda _: told
        answer = await client.get("/fhir/Patient/p")
        assert (answer.status_code, answer.json()["issue"][0]["code"]) == (503, "transient")
        assert int(answer.headers["retry-after"]) >= 1
        assert len(server.asked) == TRIES == 3


COSTS = {
    "read": ("GET", "/fhir/Patient/p", None, 3),
    "vread": ("GET", "/fhir/Patient/p/_history/1", None, 6),
    "search of ten ids": ("GET", TEN, None, 10 + REPEATS),
    "search by identifier": ("GET", "/fhir/Patient?identifier=1", None, 3),
    "history": ("GET", "/fhir/_history", None, 3),
    "batch of ten reads": ("POST", "/fhir", BATCH, 10 + REPEATS),
    "update": ("PUT", "/fhir/Patient/p", CREATION[:-1] + b',"id":"p"}', 3),
    "create": ("POST", "/fhir/Patient", CREATION, 1 + 2 * 3 + 3),
}


@pytest.mark.parametrize("case", COSTS.values(), ids=COSTS.keys())
async def test_cost_of_each_interaction_in_a_storm(
    monkeypatch: pytest.MonkeyPatch, case: tuple[str, str, bytes | None, int]
) -> None:
    """Exactly: three requests for each object at most, and ten repeats for all of them together."""
    method, path, body, cost = case
    async with bucket(monkeypatch) as (server, client):
        server.answer = lambda _: SLOW_DOWN
        answer = await client.request(method, path, content=body, headers=FHIR_JSON if body else {})
        assert answer.status_code == (200 if body is BATCH else 503)
        assert len(server.asked) == cost


async def test_writes_that_are_refused_while_reads_work_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket that answers each PUT with 503 is not asked again and again because others might have been quicker."""

    def refuse_puts(asked: Asked) -> Told:
        return SLOW_DOWN if asked.method == "PUT" else error(404, "NoSuchKey")

    async with bucket(monkeypatch) as (server, client):
        server.answer = refuse_puts
        assert (await client.post("/fhir/Patient", content=CREATION, headers=FHIR_JSON)).status_code == 503
        puts = [asked for asked in server.asked if asked.method == "PUT"]
        assert len(puts) <= 3 * 3 + REPEATS
        assert len(server.asked) <= len(puts) + 4


async def test_a_store_that_keeps_failing_is_left_alone_until_its_probe_is_due(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Then every request is refused at once without one to the store, and Retry-After says when it is tried again."""
    async with bucket(monkeypatch) as (server, client):
        server.answer = lambda _: SLOW_DOWN
        while len(server.asked) < FAILURES:
            await client.get("/fhir/Patient/p")
        server.asked.clear()
        for method, path, body, _ in COSTS.values():
            answer = await client.request(method, path, content=body, headers=FHIR_JSON if body else {})
            assert answer.status_code == (200 if body is BATCH else 503)
            assert body is BATCH or answer.headers["retry-after"] == "1"
        assert server.asked == []


async def test_answers_that_are_no_trouble_never_open_the_circuit(monkeypatch: pytest.MonkeyPatch) -> None:
    """404 a hundred times: each request reaches the store."""
    async with bucket(monkeypatch) as (server, client):
        server.answer = lambda _: error(404, "NoSuchKey")
        for _ in range(100):
            assert (await client.get("/fhir/Patient/p")).status_code == 404
        assert len(server.asked) == 100


@pytest.mark.slow
async def test_a_bucket_that_accepts_and_never_answers_is_a_504(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the real S3 client, for reads and writes."""
    async with bucket(monkeypatch, Settings(request_timeout=0.5)) as (server, client):
        server.answer = lambda _: Told(silent=True)
        for method, path, body, _ in COSTS.values():
            answer = await client.request(method, path, content=body, headers=FHIR_JSON if body else {})
            assert answer.status_code == 504, path
        await server.stop()


@pytest.mark.parametrize("rates", [FaultRates(busy=1.0), FaultRates(unavailable=1.0)], ids=["busy", "silent"])
async def test_stores_that_repeat_nothing_by_themselves_are_asked_as_often(rates: FaultRates) -> None:
    """The same bound, whoever repeats."""
    async with serving(objects=FaultyStore(MemoryStore(), rates, seed=1)) as served:
        for path, cost in (("/fhir/Patient/p", 3), (TEN, 20)):
            with served.meter.measure() as measured:
                assert (await served.client.get(path)).status_code == 503
            assert measured.requests == {"GET": cost}


async def test_a_few_failures_are_repeated_and_nobody_notices() -> None:
    """One request in ten fails: a hundred reads and a hundred creates succeed."""
    objects = FaultyStore(MemoryStore(), FaultRates(busy=0.05, unavailable=0.05), seed=3)
    async with serving(objects=objects) as served:
        for number in range(100):
            created = await served.client.post("/fhir/Patient", content=CREATION, headers=FHIR_JSON)
            assert created.status_code == 201, number
            read = await served.client.get(f"/fhir/Patient/{created.headers['location'].split('/')[-3]}")
            assert read.status_code == 200
