"""A full store: 507 at once with the reason, one line in the log, readiness that says why, reads as ever, recovery."""

from __future__ import annotations

import json
import logging
import os
import random
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from fhirstore.objects.embedded.store import EmbeddedStore
from tests.server.processes import ServeProcess, run_command
from tests.server.serving import FHIR_JSON, Served, serving

PATIENT = b'{"resourceType":"Patient","id":"p"}'
NOISE = random.Random(7).randbytes(100_000).hex()  # compresses to no less than half
LARGE = json.dumps({"resourceType": "Patient", "name": [{"text": NOISE}]}).encode()
PUT_ENTRY = b'{"resource":%s,"request":{"method":"POST","url":"Patient"}}' % LARGE


@asynccontextmanager
async def full(directory: Path) -> AsyncIterator[tuple[Served, EmbeddedStore]]:
    """The app on an embedded store that has Patient/p, and no room for a large resource."""
    objects = await EmbeddedStore.open(directory)
    async with serving(objects=objects) as served:
        assert (await served.client.put("/fhir/Patient/p", content=PATIENT, headers=FHIR_JSON)).status_code == 201
        objects._writer._transactions._connection.execute("PRAGMA max_page_count = 20")
        yield served, objects
    await objects.aclose()


async def test_writes_are_refused_once_and_at_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is tried again: a create is its PUTs, whatever came of them; the log has one line for all."""
    caplog.set_level(logging.ERROR, "fhirstore")
    async with full(tmp_path) as (served, _):
        for _ in range(5):
            with served.meter.measure() as measured:
                answer = await served.client.post("/fhir/Patient", content=LARGE, headers=FHIR_JSON)
            assert answer.status_code == 507
            (issue,) = answer.json()["issue"]
            assert issue["code"] == "no-store"
            assert "the disk is full" in issue["diagnostics"]
            assert measured.requests == {"PUT": 3}, "what follows was not sent"
        assert (await served.client.get("/fhir/Patient/p")).status_code == 200
    (line,) = caplog.messages
    assert " 507 StoreFull POST " in line and "the disk is full" in line


@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_entries_of_bundles_are_refused_with_the_reason(tmp_path: Path, kind: str) -> None:
    """A transaction as a whole, a batch entry by entry; nothing of either is there."""
    bundle = b'{"resourceType":"Bundle","type":"%s","entry":[%s,%s]}' % (kind.encode(), PUT_ENTRY, PUT_ENTRY)
    async with full(tmp_path) as (served, objects):
        answer = await served.client.post("/fhir", content=bundle, headers=FHIR_JSON)
        assert "the disk is full" in answer.text
        if kind == "transaction":
            assert answer.status_code == 507
        else:
            assert [entry["response"]["status"][:3] for entry in answer.json()["entry"]] == ["507", "507"]
        objects._writer._transactions._connection.execute("PRAGMA max_page_count = 1000000")
        found = (await served.client.get("/fhir/Patient?_summary=count")).json()
        assert found["total"] == 1


async def test_readiness_says_why_and_recovers_by_itself(tmp_path: Path) -> None:
    """503 with the reason until there is room again, also where nobody writes meanwhile."""
    async with full(tmp_path) as (served, objects):
        assert (await served.client.get("/health/ready")).status_code == 200
        await served.client.post("/fhir/Patient", content=LARGE, headers=FHIR_JSON)
        answer = await served.client.get("/health/ready")
        assert answer.status_code == 503
        assert "the disk is full" in answer.json()["status"]
        assert (await served.client.get("/health/live")).status_code == 200
        objects._writer._transactions._connection.execute("PRAGMA max_page_count = 1000000")
        assert (await served.client.get("/health/ready")).status_code == 200
        assert (await served.client.post("/fhir/Patient", content=LARGE, headers=FHIR_JSON)).status_code == 201


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a file system is not permitted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.kill
def test_a_server_on_a_full_disk_answers_and_ends(small_disk: Path) -> None:
    """A real process and a real disk: 507, readiness says why, SIGTERM ends it; it starts again when there is room."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(5_000_000))
    server = ServeProcess({"FHIRSTORE_STORE": f"file:{small_disk / 'store'}"})
    server.start()
    try:
        answers = []
        for _ in range(60):
            answers.append(httpx.post(f"{server.base_url}/Patient", content=LARGE, headers=FHIR_JSON, timeout=10))
            if answers[-1].status_code != 201:
                break
        assert answers[-1].status_code == 507
        assert "the disk is full" in answers[-1].text
        ready = httpx.get(server.base_url.replace("/fhir", "/health/ready"), timeout=10)
        assert (ready.status_code, "full" in ready.text) == (503, True)
        assert server.stop() in (0, -15), "it ended by itself"
        ballast.unlink()
        server.start()
        assert httpx.post(f"{server.base_url}/Patient", content=LARGE, headers=FHIR_JSON).status_code == 201
    finally:
        server.kill()


def test_a_server_starts_on_a_full_disk_for_its_reads(small_disk: Path) -> None:
    """It warns, is not ready and refuses writes until there is room; with no byte left, it says why it cannot start."""
    server = ServeProcess({"FHIRSTORE_STORE": f"file:{small_disk / 'store'}"})
    server.start()
    try:
        resource = f"{server.base_url}/Patient/p"
        assert httpx.put(resource, content=PATIENT, headers=FHIR_JSON).status_code == 201
        assert server.stop() == 0
        ballast = small_disk / "ballast"
        ballast.touch()
        free = os.statvfs(small_disk)
        ballast.write_bytes(bytes((free.f_bavail - 40) * free.f_frsize))
        server.start()
        resource = f"{server.base_url}/Patient/p"
        assert httpx.get(resource).status_code == 200
        large = f"{server.base_url}/Patient"
        assert httpx.post(large, content=LARGE, headers=FHIR_JSON).status_code == 507
        ready = server.base_url.replace("/fhir", "/health/ready")
        assert "full" in httpx.get(ready).text
        ballast.unlink()
        assert httpx.post(large, content=LARGE, headers=FHIR_JSON).status_code == 201
        assert httpx.get(ready).status_code == 200
        server.stop()
        ballast.touch()
        free = os.statvfs(small_disk)
        ballast.write_bytes(bytes(free.f_bavail * free.f_frsize))
        refused = run_command({"FHIRSTORE_STORE": f"file:{small_disk / 'store'}", "PORT": "0"}, "serve")
        assert (refused.returncode, "the disk is full" in refused.stderr) == (2, True)
    finally:
        server.kill()
