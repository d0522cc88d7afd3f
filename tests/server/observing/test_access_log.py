"""The access log has a line for each request; a client can neither put data of patients into it, nor a line."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirstore.objects.base import StoredObject
from fhirstore.objects.memory import MemoryStore
from server.observing.access_log import AccessLog, Identities, Request
from server.observing.lines import LineWriter
from server.observing.measures import Measures
from server.observing.observers import Observers, share_key
from server.settings import Settings, from_environment
from tests.server.observing.observed import observed
from tests.server.serving import FHIR_JSON

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
KEY = b"k" * 16
CANARY = "zebrafinch"

REQUEST = Request(
    interaction="read",
    method="GET",
    request_id="r-1",
    route="/{type}/{id}",
    status=200,
    tenant="clinic",
    type="Patient",
    id="p1",
    criteria="",
    received=0,
    sent=812,
    seconds=0.00312,
    storage=1,
    client="192.0.2.7",
)


def _log(form: str, how: str = "hashed") -> tuple[AccessLog, list[str]]:
    lines: list[str] = []
    return AccessLog(form, Identities(how, KEY), lines.append, now=lambda: NOON), lines


def test_a_text_line_begins_as_the_lines_of_failures_do() -> None:
    """Time, status, what it was, method, request id, route; then what has a name."""
    log, lines = _log("text", "plain")
    log.note(REQUEST)
    assert lines == [
        "2026-07-01T12:00:00.000+00:00 200 read GET r-1 /{type}/{id} tenant=clinic type=Patient id=Patient/p1"
        " received=0 sent=812 ms=3.1 storage=1 client=192.0.2.7"
    ]


def test_a_json_line_has_the_same_fields() -> None:
    """One object a line; what is not known is left out."""
    log, lines = _log("json", "omitted")
    log.note(REQUEST)
    assert json.loads(lines[0]) == {
        "time": "2026-07-01T12:00:00.000+00:00",
        "status": 200,
        "interaction": "read",
        "method": "GET",
        "request_id": "r-1",
        "route": "/{type}/{id}",
        "tenant": "clinic",
        "type": "Patient",
        "received": 0,
        "sent": 812,
        "ms": 3.1,
        "storage": 1,
        "client": "192.0.2.7",
    }


def test_a_hash_tells_equal_ids_and_needs_the_key() -> None:
    """With the same key the same, with another one another."""
    one, same, other = Identities("hashed", KEY), Identities("hashed", KEY), Identities("hashed", b"l" * 16)
    assert one.of("Patient/p1") == same.of("Patient/p1") != other.of("Patient/p1")
    assert one.of("Patient/p1") != one.of("Patient/p2") and "p1" not in one.of("Patient/p1")
    assert one.of("") == ""


def test_workers_of_one_server_share_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made at the start where none is set; one that is set stays, and a server without a log has none."""
    monkeypatch.setenv("FHIRSTORE_ACCESS_LOG_KEY", "")
    share_key(Settings())
    share_key(Settings(access_log="text", access_log_key="k" * 16))
    assert os.environ["FHIRSTORE_ACCESS_LOG_KEY"] == ""
    share_key(Settings(access_log="text"))
    assert len(from_environment(os.environ).access_log_key or "") == 64


@given(st.text(), st.text(), st.text(), st.text())
def test_nothing_that_a_client_sends_makes_a_line_or_a_field(id_: str, criteria: str, client: str, method: str) -> None:
    """Whatever it is, even where ids are plain: one line, the same fields, and JSON gives it back exactly."""
    request = msgspec.structs.replace(REQUEST, id=id_, criteria=criteria, client=client, method=method)
    log, lines = _log("text", "plain")
    log.note(request)
    (line,) = lines
    assert line.isprintable() and line.isascii()
    names = [part.partition("=")[0] for part in line.split(" ")[6:]]
    assert names == [
        name
        for name in ("tenant", "type", "id", "criteria", "received", "sent", "ms", "storage", "client")
        if name in names
    ]
    log, lines = _log("json", "plain")
    log.note(request)
    assert "\n" not in lines[0] and "\r" not in lines[0]
    assert json.loads(lines[0]).get("criteria", "") == criteria


def test_a_line_has_a_longest_length_and_takes_any_text() -> None:
    """Criteria of 60 kB are cut; half a character is replaced."""
    for form in ("text", "json"):
        log, lines = _log(form, "plain")
        log.note(msgspec.structs.replace(REQUEST, criteria="x" * 60_000, id="\ud800"))
        assert len(lines[0]) < 4096 and "x" * 1000 in lines[0]


async def _plant(client: httpx.AsyncClient) -> int:
    """Sends the canary in every place where data of a patient may be. Returns the number of requests."""
    body = json.dumps({"resourceType": "Patient", "id": CANARY, "name": [{"family": CANARY}]}).encode()
    planted = {
        "Authorization": f"Bearer {CANARY}",
        "Cookie": f"a={CANARY}",
        "If-None-Exist": f"name={CANARY}",
        "Referer": f"http://x/{CANARY}",
        "User-Agent": CANARY,
        "X-Correlation-Id": CANARY,
        "X-Forwarded-For": CANARY,
        "Idempotency-Key": f'"{CANARY}"',
    }
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    requests = [
        client.build_request("PUT", f"/fhir/Patient/{CANARY}", content=body, headers=FHIR_JSON),
        client.build_request("GET", f"/fhir/Patient/{CANARY}", headers=planted),
        client.build_request("GET", f"/fhir/Patient/{CANARY}/_history/{CANARY}"),
        client.build_request("GET", f"/fhir/{CANARY}/1"),
        client.build_request("GET", f"/fhir/Patient?identifier={CANARY}|{CANARY}"),
        client.build_request("GET", f"/fhir/Patient?{CANARY}=1"),
        client.build_request("POST", "/fhir/Patient/_search", content=f"identifier=|{CANARY}", headers=form),
        client.build_request("POST", "/fhir/Patient", content=body, headers=FHIR_JSON | planted),
        client.build_request("PATCH", f"/fhir/Patient/{CANARY}", content=CANARY.encode(), headers=FHIR_JSON),
        client.build_request("POST", f"/fhir/${CANARY}", content=body, headers=FHIR_JSON),
        client.build_request(CANARY.upper(), f"/fhir/Patient/{CANARY}"),
        client.build_request("GET", f"/{CANARY}"),
        client.build_request("GET", f"/fhir/Patient/{CANARY}%0aGET%20/", headers={"X-Tenant-ID": CANARY}),
        client.build_request("DELETE", f"/fhir/Patient/{CANARY}?{CANARY}"),
    ]
    for request in requests:
        await client.send(request)
    return len(requests)


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("how", ["hashed", "omitted"])
async def test_no_data_of_a_patient_is_in_the_log_or_in_the_metrics(form: str, how: str) -> None:
    """A canary in ids, criteria, bodies, headers, methods and paths appears in no line and in no series."""
    log, lines = _log(form, how)
    observers = Observers(Measures(tenants=10), log)
    for source in ("none", "header"):
        settings = Settings(tenant_source=source)
        async with observed(observers, settings) as one:
            lines.clear()
            sent = await _plant(one.client)
            assert len(lines) == sent
            told = "\n".join(lines) + one.scrape().text
            assert CANARY not in told.lower()
    if how == "hashed":
        assert "~" in "".join(lines)


async def test_a_line_counts_the_storage_requests_of_its_own_request() -> None:
    """Of two requests at once, each has its own."""
    log, lines = _log("json")

    class Slow(MemoryStore):
        async def get(self, key: str) -> StoredObject:
            await asyncio.sleep(0.01)
            return await super().get(key)

    async with observed(Observers(None, log), objects=Slow()) as one:
        patient = b'{"resourceType":"Patient"}'
        await asyncio.gather(
            one.client.post("/fhir/Patient", content=patient, headers=FHIR_JSON),
            one.client.get("/fhir/Patient/x"),
            one.client.get("/fhir/metadata"),
        )
    found = {line["interaction"]: line for line in map(json.loads, lines)}
    assert {name: line["storage"] for name, line in found.items()} == {"create": 4, "read": 1, "capabilities": 0}
    assert found["create"]["received"] == len(patient) and found["create"]["sent"] > 0
    assert found["create"]["status"] == 201 and found["create"]["tenant"] == "default"


async def test_lines_arrive_whole_and_in_order(tmp_path: Path) -> None:
    """Also those that are longer than one write."""
    path = tmp_path / "log"
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY)
    writer = LineWriter(descriptor)
    lines = [f"{n} " + "x" * (n % 9000) for n in range(0, 20_000, 37)]
    for line in lines:
        writer.add(line)
    await asyncio.to_thread(writer.close)
    os.close(descriptor)
    assert path.read_text().splitlines() == lines and writer.lost == 0


async def test_a_reader_that_stops_delays_nobody() -> None:
    """Lines beyond what may wait are dropped and counted; when it reads again, what waited arrives."""
    reading, writing = os.pipe()
    writer = LineWriter(writing)
    line = "x" * 4000
    async with asyncio.timeout(30):
        while not writer.lost:
            for _ in range(500):
                writer.add(line)
            await asyncio.sleep(0.02)

    def drain() -> int:
        total = 0
        while chunk := os.read(reading, 1 << 20):
            total += len(chunk)
        return total

    draining = asyncio.create_task(asyncio.to_thread(drain))
    await asyncio.to_thread(writer.close)
    os.close(writing)
    assert await draining % (len(line) + 1) == 0
    os.close(reading)
