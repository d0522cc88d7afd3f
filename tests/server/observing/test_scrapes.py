"""Real processes answer scrapes: one server process, several, and a worker."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from fhirstore.commit.limits import Limits
from server.observing.listener import MetricsListener
from server.observing.measures import Measures
from server.observing.observers import Observers
from server.observing.snapshot import merged
from tests.server.observing.observed import observed
from tests.server.observing.scraped import Scrape, scrape_until
from tests.server.processes import ServeProcess, run_command, served
from tests.server.serving import FHIR_JSON

_PATIENT = b'{"resourceType":"Patient","identifier":[{"system":"urn:s","value":"1"}]}'
_ROUNDS = 12


def _metrics_url(server: ServeProcess) -> str:
    found = re.search(r"metrics +(\S+)", server.greeting)
    assert found, server.greeting
    return found[1]


def _script() -> list[tuple[str, str, bytes | None]]:
    """Requests that cost the same in whichever process they are served."""
    requests: list[tuple[str, str, bytes | None]] = []
    for n in range(_ROUNDS):
        requests += [("POST", "/Patient", _PATIENT), ("GET", f"/Patient/none-{n}", None), ("GET", "/metadata", None)]
        requests.append(("PUT", f"/Patient/p{n}", _PATIENT.replace(b"{", b'{"id":"p%d",' % n, 1)))
        requests.append(("GET", f"/Patient/p{n}", None))
    return requests


async def _metered() -> tuple[dict[str, int], int, int]:
    """What the meter of one process counts for the script: requests by verb, bytes read and written."""
    async with observed(Observers()) as one:
        for method, path, body in _script():
            await one.client.request(method, f"/fhir{path}", content=body, headers=FHIR_JSON if body else {})
        totals = one.meter.totals
        return dict(sorted(totals.requests.items())), totals.bytes_read, totals.bytes_written


def _answered(found: Scrape) -> float:
    """How many requests of the API were answered."""
    name = "fhirstore_interaction_seconds_count"
    return found.value(name) - found.value(name, interaction="/health/live")


@pytest.mark.kill
def test_a_scrape_answers_for_all_workers_also_for_one_that_was_killed(tmp_path: Path) -> None:
    """Each request on a connection of its own, so that the kernel spreads them: the sums are those of the meter."""
    env = {"FHIRSTORE_STORE": f"file:{tmp_path}/data", "FHIRSTORE_METRICS": "0", "FHIRSTORE_WORKER": "false"}
    env["FHIRSTORE_INDEX_POLL"] = "3600"  # looks of the search index count, too
    requests, read, written = asyncio.run(_metered())
    with served(env, "--workers", "2") as server:
        url = _metrics_url(server)
        scrape_until(url, lambda one: one.value("fhirstore_processes") == 2)
        with httpx.Client(limits=httpx.Limits(max_keepalive_connections=0)) as client:
            for method, path, body in _script():
                client.request(method, server.base_url + path, content=body, headers=FHIR_JSON if body else {})
        found = scrape_until(url, lambda one: _answered(one) == len(_script()))
        assert found.by("fhirstore_storage_requests_total", "verb") == requests
        assert found.value("fhirstore_storage_bytes_total", direction="read") == read
        assert abs(found.value("fhirstore_storage_bytes_total", direction="written") - written) < 100  # times and ids
        pids = set(found.by("fhirstore_process_resident_memory_bytes", "pid"))
        assert len(pids) == 2

        os.kill(int(min(pids)), signal.SIGKILL)
        after = scrape_until(
            url,
            lambda one: (
                one.value("fhirstore_processes") == 2
                and min(pids) not in one.by("fhirstore_process_resident_memory_bytes", "pid")
            ),
        )
        now = after.by("fhirstore_storage_requests_total", "verb")  # the new process brings its search index up to date
        assert now["PUT"] == requests["PUT"], "what it counted stays"
        assert all(now[verb] >= count for verb, count in requests.items()), "what it counted stays"
        assert httpx.get(server.base_url.removesuffix("/fhir") + "/metrics").status_code == 404
        assert server.stop() == 0
    with pytest.raises(httpx.TransportError):
        httpx.get(url)


@pytest.mark.kill
def test_one_process_answers_and_writes_its_access_log(tmp_path: Path) -> None:
    """Metrics and log of a server as it comes; an address that is taken stops the start with one line."""
    env = {
        "FHIRSTORE_STORE": f"file:{tmp_path}/data",
        "FHIRSTORE_METRICS": "0",
        "FHIRSTORE_ACCESS_LOG": "json",
    }
    with served(env) as server:
        url = _metrics_url(server)
        assert url.startswith("http://127.0.0.1:")
        httpx.post(f"{server.base_url}/Patient", content=_PATIENT, headers=FHIR_JSON)
        found = scrape_until(
            url, lambda one: one.value("fhirstore_interaction_seconds_count", interaction="create") == 1
        )
        assert found.value("fhirstore_build_info") == 1 and found.value("fhirstore_connections_limit") > 0
        assert found.value("fhirstore_event_loop_lag_seconds_count") > 0
        assert 'fhirstore_jobs_live{kind="export"} 0.0' in found.text
        taken = run_command({**env, "FHIRSTORE_METRICS": url.split("/")[2], "PORT": "0"}, "serve")
        assert taken.returncode == 2 and "FHIRSTORE_METRICS" in taken.stderr and "Traceback" not in taken.stderr
        assert server._child is not None and server._child.stdout is not None
        os.killpg(server._child.pid, signal.SIGTERM)
        lines = [json.loads(line) for line in server._child.stdout if line.startswith("{")]
        assert server._child.wait(30) == 0
    create = next(line for line in lines if line["interaction"] == "create")
    assert create["status"] == 201 and create["route"] == "/{type}" and create["storage"] >= 4


@contextmanager
def _worker(location: str) -> Iterator[str]:
    """The metrics of a `fhirstore worker`."""
    command = [str(Path(sys.executable).with_name("fhirstore")), "worker", "--store", location, "--every", "0.3"]
    process = subprocess.Popen([*command, "--metrics", "0"], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"metrics at (\S+)", line)
        assert found, line
        yield found[1]
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.kill
def test_a_worker_answers_scrapes(tmp_path: Path) -> None:
    """Its sweeps list the store, and it sees a job that a server has taken."""
    location = f"file:{tmp_path}/data"
    with served({"FHIRSTORE_STORE": location, "FHIRSTORE_WORKER": "false"}) as server:
        kicked = httpx.get(f"{server.base_url}/$export", headers={"Prefer": "respond-async"})
        assert kicked.status_code == 202
        with _worker(location) as url:
            found = scrape_until(url, lambda one: one.value("fhirstore_storage_requests_total", verb="LIST") > 2)
            assert "fhirstore_jobs_running" in found.families
            assert scrape_until(url, lambda one: one.value("fhirstore_jobs_live", kind="export") == 1)


def test_the_listener_answers_metrics_alone_and_outlives_bad_clients() -> None:
    """Other paths are 404, other methods 501; clients that send nothing keep nobody out for long."""
    listener = MetricsListener(("127.0.0.1", 0), lambda: merged([Measures().snapshot()]))
    try:
        base = listener.url.removesuffix("/metrics")
        assert httpx.get(listener.url).status_code == 200
        head = httpx.head(listener.url)
        assert head.status_code == 200 and int(head.headers["content-length"]) > 1000 and not head.content
        assert httpx.get(f"{base}/").status_code == 404
        assert httpx.post(listener.url, content=b"x").status_code == 501
        host, port = base.removeprefix("http://").split(":")
        silent = [socket.create_connection((host, int(port))) for _ in range(20)]
        deadline = time.monotonic() + 30
        while True:
            try:
                assert httpx.get(listener.url).status_code == 200
                break
            except httpx.TransportError:
                assert time.monotonic() < deadline
                time.sleep(0.2)
        for each in silent:
            each.close()
    finally:
        listener.close()


def test_clients_that_send_a_little_again_and_again_keep_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is that of the whole request, and not of each piece of it."""
    monkeypatch.setattr("server.observing.listener._PATIENCE", 0.5)
    listener = MetricsListener(("127.0.0.1", 0), lambda: merged([Measures().snapshot()]))
    try:
        url = urlsplit(listener.url)
        slow = [socket.create_connection((url.hostname or "", url.port or 0)) for _ in range(8)]
        for each in slow:
            each.sendall(b"GET /metrics HTTP/1.1\r\n")
        deadline = time.monotonic() + 30
        while slow:
            assert time.monotonic() < deadline
            time.sleep(0.05)
            for each in list(slow):
                try:
                    each.sendall(b"X: y\r\n")
                except OSError:
                    each.close()
                    slow.remove(each)
        assert httpx.get(listener.url).status_code == 200
    finally:
        listener.close()


async def test_jobs_are_seen_by_kind_and_age() -> None:
    """A job that waits is counted until it has ended; its run holds a lease that is young."""
    limits = Limits(window=300, transaction_window=300, apply=50)
    async with observed(Observers(Measures()), limits=limits) as one:
        worker = one.store.worker(poll=0.1, at_once=1)
        assert worker.status().live == {} and worker.status().running == 0
        for _ in range(2):
            kicked = await one.client.get("/fhir/$export", headers={"Prefer": "respond-async"})
            assert kicked.status_code == 202
        stop = asyncio.Event()
        running = asyncio.create_task(worker.run(stop))
        seen = worker.status()
        async with asyncio.timeout(30):
            while not seen.running:
                await asyncio.sleep(0)
                seen = worker.status()
            assert seen.live == {"export": 2} and 0 <= seen.oldest["export"] < 60 and 0 <= seen.lease < 60
            while worker.status().live:  # noqa: ASYNC110 - what it waits for sets no event
                await asyncio.sleep(0.02)
        stop.set()
        await running
        assert worker.status().running == 0
