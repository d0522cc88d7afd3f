"""Every request has an answer by its deadline, whatever the store does; a write that was begun is seen through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.types import Message, Scope

from fhirstore import FhirStore
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.faulty import FaultRates, FaultyStore
from fhirstore.tenancy import PrefixTenancy
from server.app import create_app
from server.http.deadlines import Deadlines
from server.settings import BadSetting, Settings, from_environment
from tests.server.serving import FHIR_JSON, Served, serving

PATIENT = b'{"resourceType":"Patient","id":"p"}'
CREATION = b'{"resourceType":"Patient","active":true}'
PROFILED = b'{"resourceType":"Patient","meta":{"profile":["http://example.org/StructureDefinition/none"]}}'
MERGE = {"Content-Type": "application/merge-patch+json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
BATCH = b'{"resourceType":"Bundle","type":"batch","entry":[{"request":{"method":"GET","url":"Patient/p"}}]}'
TRANSACTION = (
    b'{"resourceType":"Bundle","type":"transaction","entry":[{"resource":{"resourceType":"Patient"},'
    b'"request":{"method":"POST","url":"Patient"}}]}'
)
Ask = tuple[str, str, dict[str, str], bytes | None]
READS: tuple[Ask, ...] = (
    ("GET", "/fhir/Patient/p", {}, None),
    ("GET", "/fhir/Patient/p/_history/1", {}, None),
    ("GET", "/fhir/Patient/p/_history", {}, None),
    ("GET", "/fhir/_history", {}, None),
    ("GET", "/fhir/Patient?identifier=1", {}, None),
    ("POST", "/fhir/Patient/_search", FORM, b"_id=p,q"),
    ("POST", "/fhir/Patient/$validate", FHIR_JSON, PROFILED),
)
WRITES: tuple[Ask, ...] = (
    ("POST", "/fhir/Patient", FHIR_JSON, CREATION),
    ("PUT", "/fhir/Patient/p", FHIR_JSON, PATIENT),
    ("PUT", "/fhir/Patient?identifier=s|1", FHIR_JSON, b'{"resourceType":"Patient"}'),
    ("PATCH", "/fhir/Patient/p", MERGE, b'{"active":true}'),
    ("DELETE", "/fhir/Patient/p", {}, None),
    ("POST", "/fhir", FHIR_JSON, BATCH),
    ("POST", "/fhir", FHIR_JSON, TRANSACTION),
)


class Gate:
    """What a store waits for before each request."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()

    async def wait(self, _: float) -> None:
        await self.opened.wait()


@asynccontextmanager
async def hung(gate: Gate) -> AsyncIterator[Served]:
    """The app on a store that accepts requests and answers them when the gate is opened."""
    objects = FaultyStore(MemoryStore(), FaultRates(delay=1.0), seed=1, sleep=gate.wait)
    async with serving(Settings(request_timeout=0.3), objects) as served:
        yield served
        gate.opened.set()


@pytest.mark.parametrize("ask", READS + WRITES, ids=[f"{ask[0]} {ask[1]}" for ask in READS + WRITES])
async def test_a_store_that_never_answers_is_a_504(ask: Ask) -> None:
    """With Retry-After and an OperationOutcome that says whether something may have been changed."""
    method, path, headers, body = ask
    async with hung(Gate()) as served:
        answer = await served.client.request(method, path, headers=headers, content=body)
        assert answer.status_code == 504
        assert int(answer.headers["retry-after"]) > 0
        (issue,) = answer.json()["issue"]
        assert issue["code"] == "timeout"
        assert ("nothing was changed" in issue["diagnostics"]) == (ask in READS)
        assert ("may have been applied" in issue["diagnostics"]) == (ask in WRITES)


async def test_many_wait_and_all_are_answered_and_the_server_goes_on() -> None:
    """Two hundred requests to a hung store, and the process has no timer of any of them left."""
    gate = Gate()
    async with hung(gate) as served:
        asked = [served.client.get(f"/fhir/Patient/{number}") for number in range(200)]
        assert {answer.status_code for answer in await asyncio.gather(*asked)} == {504}
        gate.opened.set()
        assert (await served.client.get("/fhir/Patient/p")).status_code == 404


@pytest.mark.parametrize("body", [CREATION, TRANSACTION], ids=["create", "transaction"])
async def test_a_write_past_its_deadline_is_seen_through(body: bytes) -> None:
    """The client hears 504; what was begun ends by itself as soon as the store answers again, wholly."""
    gate = Gate()
    async with hung(gate) as served:
        path = "/fhir" if body is TRANSACTION else "/fhir/Patient"
        assert (await served.client.post(path, content=body, headers=FHIR_JSON)).status_code == 504
        gate.opened.set()
        await served.store.settle()
        history = (await served.client.get("/fhir/Patient/_history")).json()
        assert [entry["response"]["status"][:3] for entry in history["entry"]] == ["201"]


async def test_an_update_that_has_only_read_ends_with_its_request() -> None:
    """Nothing was written, so nothing goes on in the background, and nothing is written later."""
    gate = Gate()
    async with hung(gate) as served:
        answer = await served.client.put("/fhir/Patient/p", content=PATIENT, headers=FHIR_JSON)
        assert answer.status_code == 504
        assert not served.store._engine._rests
        gate.opened.set()
        assert (await served.client.get("/fhir/Patient/p")).status_code == 404


async def test_writes_without_a_client_do_not_keep_a_closing_store() -> None:
    """What a hung store never answers is given up after the time that closing has."""
    gate = Gate()
    async with hung(gate) as served:
        assert (await served.client.post("/fhir/Patient", content=CREATION, headers=FHIR_JSON)).status_code == 504
        assert await served.store.settle(within=0.01) == 1
        assert await served.store.settle() == 0


async def test_a_request_that_somebody_else_cancels_is_not_answered() -> None:
    """A client that hung up, a server that ends: CancelledError goes on its way."""
    objects = FaultyStore(MemoryStore(), FaultRates(delay=1.0), seed=1, sleep=Gate().wait)
    app = create_app(FhirStore(PrefixTenancy(objects, frozenset({"default"}))), Settings(request_timeout=0.3))
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "http_version": "1.1",
        "path": "/fhir/Patient/p",
        "raw_path": b"/fhir/Patient/p",
        "query_string": b"",
        "headers": [(b"host", b"a")],
    }
    task = asyncio.ensure_future(app(scope, receive, send))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sent == []


async def test_one_timer_serves_all_and_none_is_left() -> None:
    """Deadlines cost a request no timer of its own; while nothing is under way there is none at all."""
    deadlines = Deadlines(30)
    started = asyncio.Event()

    async def request() -> str:
        task = deadlines.begin()
        try:
            await started.wait()
            return "answered"
        except asyncio.CancelledError:
            return "late" if deadlines.missed(task) else "cancelled"
        finally:
            deadlines.end(task)

    tasks = [asyncio.create_task(request()) for _ in range(100)]
    await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    timers = {handle for handle in getattr(loop, "_scheduled", ()) if not handle.cancelled()}
    assert len(timers) <= 1
    for _ in range(30):
        deadlines.tick()
    newer = asyncio.create_task(request())
    await asyncio.sleep(0)
    deadlines.tick()
    assert await asyncio.gather(*tasks) == ["late"] * 100
    started.set()
    assert await newer == "answered"
    deadlines.tick()
    assert deadlines._timer is None and not deadlines._began and not deadlines._missed


async def test_requests_are_counted() -> None:
    """How many have begun, and how many are under way."""
    deadlines = Deadlines(30)
    assert deadlines.activity() == (0, 0)
    task = deadlines.begin()
    assert deadlines.activity() == (1, 1)
    deadlines.end(task)
    assert deadlines.activity() == (1, 0)
    deadlines.tick()


async def test_the_time_that_a_client_takes_to_send_does_not_count() -> None:
    """A request whose body is still coming starts its time anew with every piece."""
    deadlines = Deadlines(30)
    task = deadlines.begin()
    for _ in range(100):
        deadlines.tick()
        deadlines.extend()
    deadlines.end(task)
    assert task is not None and not task.cancelling()
    deadlines.tick()


def test_the_setting_is_in_seconds() -> None:
    """FHIRSTORE_REQUEST_TIMEOUT: 30 unless said otherwise, never 0."""
    assert from_environment({}).request_timeout == 30
    assert from_environment({"FHIRSTORE_REQUEST_TIMEOUT": "7"}).request_timeout == 7
    with pytest.raises(BadSetting):
        from_environment({"FHIRSTORE_REQUEST_TIMEOUT": "0"})
