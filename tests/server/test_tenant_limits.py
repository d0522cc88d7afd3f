"""A tenant that uses more than it may is refused with 429 and Retry-After, and no other tenant notices."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

import pytest
from starlette.types import Message

from fhirstore.objects.memory import MemoryStore
from server.access.refusals import Refusals
from server.access.token_bucket import TokenBucket
from server.access.usage import LimitReached, RequestUsage, TenantUsage
from server.settings import Settings
from server.settings.tenants import TenantSettings
from tests.server.listening import HeldStore, until
from tests.server.serving import FHIR_JSON, Served, serving


@dataclass
class _Time:
    """A clock that a test moves."""

    seconds: float = 100.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class _Wire:
    """What a client sends in pieces, and what it is sent."""

    pieces: list[bytes] = field(default_factory=list)
    sent: list[Message] = field(default_factory=list)

    async def receive(self) -> Message:
        piece = self.pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(self.pieces)}

    async def send(self, message: Message) -> None:
        self.sent.append(message)


def _limits(**given: float) -> TenantSettings:
    return TenantSettings(**given)  # type: ignore[arg-type] # each as the field has it


def _request(usage: TenantUsage, tenant: str = "clinic-a") -> RequestUsage:
    request = RequestUsage(usage, _Wire().receive, _Wire().send)
    request.begin(tenant)
    return request


def _refusal(usage: TenantUsage, tenant: str = "clinic-a") -> LimitReached:
    with pytest.raises(LimitReached) as refused:
        _request(usage, tenant)
    return refused.value


def test_a_bucket_lets_a_second_worth_pass_and_then_its_rate() -> None:
    """After any time it holds one second's worth at most; a debt is paid at the rate, too."""
    now = _Time()
    bucket = TokenBucket(10, now=now)
    assert (bucket.wait(10), bucket.full) == (0, True)
    bucket.take(10)
    assert bucket.wait(1) == pytest.approx(0.1)
    now.seconds += 0.1
    assert bucket.wait(1) == pytest.approx(0)
    now.seconds += 3_600
    bucket.take(35)
    assert bucket.wait() == pytest.approx(2.5)
    now.seconds += 2.5
    assert bucket.wait() == pytest.approx(0, abs=1e-9)
    assert not bucket.full


def test_a_bucket_of_a_slow_rate_holds_one_whole_token() -> None:
    """One request every two seconds is possible, and not none."""
    now = _Time()
    bucket = TokenBucket(0.5, now=now)
    assert bucket.wait(1) == 0
    bucket.take(1)
    assert bucket.wait(1) == pytest.approx(2)


def test_requests_beyond_the_rate_are_told_when_to_come_back() -> None:
    """Retry-After is the time until the next one is admitted, in whole seconds; then it is."""
    now = _Time()
    usage = TenantUsage(lambda _: _limits(requests_per_second=0.25), now=now)
    _request(usage)
    refused = _refusal(usage)
    assert (refused.status_code, refused.headers) == (429, {"Retry-After": "4"})
    assert "0.25 requests a second" in refused.detail
    now.seconds += 3.9
    assert _refusal(usage).headers == {"Retry-After": "1"}
    now.seconds += 0.1
    _request(usage)


def test_a_refused_request_costs_its_tenant_nothing() -> None:
    """However often it is repeated, the next one is admitted when the first refusal said so."""
    now = _Time()
    usage = TenantUsage(lambda _: _limits(requests_per_second=1), now=now)
    _request(usage)
    for _ in range(100):
        _refusal(usage)
    now.seconds += 1
    _request(usage)


def test_requests_at_once_are_bounded_and_end() -> None:
    """An ended request makes room for one; ending it twice makes room for one."""
    usage = TenantUsage(lambda _: _limits(concurrent_requests=2))
    first, _ = _request(usage), _request(usage)
    assert "2 requests at once" in _refusal(usage).detail
    first.end()
    first.end()
    _request(usage)
    _refusal(usage)


async def test_bytes_of_bodies_and_answers_are_a_debt_that_later_requests_wait_for() -> None:
    """The request that was admitted is performed and answered, however long it is."""
    now, wire = _Time(), _Wire(pieces=[b"x" * 600_000])
    usage = TenantUsage(lambda _: _limits(bytes_per_second=100_000), now=now)
    request = RequestUsage(usage, wire.receive, wire.send)
    request.begin("clinic-a")
    await request.receive()
    await request.send({"type": "http.response.start", "status": 200, "headers": []})
    await request.send({"type": "http.response.body", "body": b"y" * 500_000})
    assert len(wire.sent) == 2
    assert _refusal(usage).headers == {"Retry-After": "10"}
    now.seconds += 10.0
    _request(usage)


async def test_a_body_in_pieces_is_slowed_down_to_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Upload and download wait after each piece for as long as it takes at the rate, so neither runs up a debt."""
    now, wire = _Time(), _Wire(pieces=[b"x" * 100_000] * 4)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        now.seconds += seconds

    monkeypatch.setattr("server.access.usage.asyncio.sleep", sleep)
    usage = TenantUsage(lambda _: _limits(bytes_per_second=100_000), now=now)
    request = RequestUsage(usage, wire.receive, wire.send)
    request.begin("clinic-a")
    for _ in range(4):
        await request.receive()
    assert slept == [pytest.approx(1.0)] * 2  # the first piece was a burst, after the last one nothing is waited for
    now.seconds += 1
    for more in (True, True, False):
        await request.send({"type": "http.response.body", "body": b"y" * 100_000, "more_body": more})
    assert slept == [pytest.approx(1.0)] * 4
    assert _refusal(usage).headers == {"Retry-After": "1"}


def test_refusals_beyond_a_burst_wait_for_their_pace() -> None:
    """Two hundred at once, then two hundred a second; none waits longer than ten seconds."""
    now = _Time()
    refusals = Refusals(now=now)
    assert [refusals.delay() for _ in range(200)] == [0] * 200
    assert [refusals.delay() for _ in range(100)][-1] == pytest.approx(0.5)
    now.seconds += 1.0
    assert refusals.delay() == 0
    assert max(refusals.delay() for _ in range(5_000)) == 10


def test_tenants_that_use_nothing_are_forgotten() -> None:
    """Where any tenant may exist, made-up ones do not fill the memory; one that is at its limit stays."""
    now = _Time()
    usage = TenantUsage(lambda _: _limits(requests_per_second=1), now=now)
    for number in range(5_000):
        _request(usage, f"t{number}").end()
        now.seconds += 0.01
    assert len(usage) < 1_200
    _refusal(usage, "t4999")


def test_made_up_tenants_whose_limit_is_slow_are_bounded_too() -> None:
    """What a request takes is paid for in hours: still only so many are kept, and those that have a request stay."""
    now = _Time()
    usage = TenantUsage(lambda _: _limits(requests_per_second=0.0001), now=now)
    staying = _request(usage, "stays")
    for number in range(60_000):
        _request(usage, f"t{number}").end()
    assert len(usage) <= 33_000
    _refusal(usage, "t59999")
    assert usage.of("stays").at_once == 1  # type: ignore[union-attr] # it has limits
    staying.end()


def _settings(**given: object) -> Settings:
    known: dict[str, object] = {"tenant_source": "header", "tenants": frozenset({"clinic-a", "clinic-b"})}
    return Settings(**{**known, **given})  # type: ignore[arg-type] # each as the field has it


async def _status(served: Served, tenant: str, path: str = "/fhir/Patient/p") -> int:
    return (await served.client.get(path, headers={"X-Tenant-ID": tenant})).status_code


async def test_a_tenant_beyond_its_rate_is_answered_429_as_fhir_says() -> None:
    """An OperationOutcome with code throttled, in the wanted form, with the usual headers."""
    async with serving(_settings(tenant_requests_per_second=0.001)) as served:
        assert await _status(served, "clinic-a") == 404
        refused = await served.client.get("/fhir/Patient/p", headers={"X-Tenant-ID": "clinic-a"})
        assert (refused.status_code, refused.json()["issue"][0]["code"]) == (429, "throttled")
        assert 900 < int(refused.headers["retry-after"]) <= 1_000
        assert refused.headers["x-request-id"]
        xml = {"X-Tenant-ID": "clinic-a", "Accept": "application/fhir+xml"}
        assert "<OperationOutcome" in (await served.client.get("/fhir/Patient/p", headers=xml)).text
        assert await _status(served, "clinic-b") == 404


async def test_health_and_a_tenant_without_limits_are_exempt() -> None:
    """Only the tenant with a table of its own is limited; probes belong to no tenant."""
    settings = _settings(tenant_tables={"clinic-a": {"requests_per_second": 0.001}})
    async with serving(settings) as served:
        assert [await _status(served, "clinic-a") for _ in range(2)] == [404, 429]
        assert [await _status(served, "clinic-b") for _ in range(20)] == [404] * 20
        for path in ("/health/live", "/health/ready"):
            assert [await _status(served, "clinic-a", path) for _ in range(3)] == [200] * 3


async def test_a_refused_write_writes_nothing() -> None:
    """It is refused before it is looked at: no storage request is made for it."""
    async with serving(_settings(tenant_requests_per_second=0.001)) as served:
        headers = {**FHIR_JSON, "X-Tenant-ID": "clinic-a"}
        body = b'{"resourceType":"Patient","id":"p"}'
        assert (await served.client.put("/fhir/Patient/p", content=body, headers=headers)).status_code == 201
        with served.meter.measure() as measured:
            assert (await served.client.put("/fhir/Patient/q", content=body, headers=headers)).status_code == 429
        assert measured.requests == {}


async def test_the_limit_of_requests_at_once_holds_until_the_answer_is_sent() -> None:
    """While a read waits for the store, the next one of its tenant is refused; afterwards it is admitted."""
    objects = HeldStore()
    async with serving(_settings(tenant_concurrent_requests=1), objects) as served:
        objects.free.clear()
        first = asyncio.create_task(_status(served, "clinic-a"))
        await until(lambda: objects.begun == 1)
        assert await _status(served, "clinic-a") == 429
        objects.free.set()
        assert await first == 404
        assert await _status(served, "clinic-a") == 404


async def test_a_flood_waits_for_itself() -> None:
    """A hundred requests that wait for the store take all places; another tenant's read begins at once all the same."""
    objects = HeldStore()
    async with serving(_settings(max_concurrent_requests=4), objects) as served:
        objects.free.clear()
        flood = [asyncio.create_task(_status(served, "clinic-a")) for _ in range(100)]
        await until(lambda: objects.begun >= 4)
        await asyncio.sleep(0.1)
        assert objects.begun == 4
        other = asyncio.create_task(_status(served, "clinic-b"))
        await until(lambda: objects.begun == 5)
        objects.free.set()
        assert await other == 404
        assert Counter(await asyncio.gather(*flood)) == {404: 4 + 64, 429: 32}  # sixteen times the places may wait


async def test_a_read_that_claims_a_body_waits_as_any_other() -> None:
    """Its body is never received, and it has a turn all the same; a write has one, too, and gives it back."""
    objects = HeldStore()
    async with serving(_settings(max_concurrent_requests=1), objects) as served:
        objects.free.clear()
        headers = {**FHIR_JSON, "X-Tenant-ID": "clinic-a", "Content-Length": "0"}
        reads = [asyncio.create_task(served.client.get("/fhir/Patient/p", headers=headers)) for _ in range(5)]
        await until(lambda: objects.begun >= 1)
        await asyncio.sleep(0.1)
        assert objects.begun == 1
        body = b'{"resourceType":"Patient","id":"q"}'
        write = asyncio.create_task(
            served.client.put("/fhir/Patient/q", content=body, headers={**FHIR_JSON, "X-Tenant-ID": "clinic-a"})
        )
        await asyncio.sleep(0.1)
        assert objects.begun == 1
        objects.free.set()
        assert [answer.status_code for answer in await asyncio.gather(*reads)] == [404] * 5
        assert (await write).status_code == 201
        assert await _status(served, "clinic-a") == 404


async def test_a_server_without_limits_makes_the_same_storage_requests() -> None:
    """Limits and turns are the server's own affair: neither asks the store for anything."""
    counts = []
    for settings in (_settings(), _settings(tenant_requests_per_second=1e6, tenant_bytes_per_second=1e9)):
        async with serving(settings, MemoryStore()) as served:
            headers = {**FHIR_JSON, "X-Tenant-ID": "clinic-a"}
            body = b'{"resourceType":"Patient","id":"p"}'
            with served.meter.measure() as measured:
                assert (await served.client.put("/fhir/Patient/p", content=body, headers=headers)).status_code == 201
                assert await _status(served, "clinic-a") == 200
            counts.append(measured.requests)
    assert counts[0] == counts[1]
