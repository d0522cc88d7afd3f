"""SIGTERM ends a server within ten seconds, with exit code 0 and without a traceback, whatever it is doing."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import httpx
import pytest

from conformance.s3servers import S3Server
from fhirstore import ExportRequest, FhirStore, TenantStore
from fhirstore.jobs.state import State
from tests.export.kill import WORKER, load
from tests.server.processes import ServeProcess

pytestmark = pytest.mark.kill

_GRACE = 10  # seconds
_HOST = b"Host: localhost\r\n"
_HALF = (
    b"PUT /fhir/Patient/h HTTP/1.1\r\n" + _HOST + b"Content-Type: application/fhir+json\r\nContent-Length: 99\r\n\r\n{"
)


class _Server(ServeProcess):
    """Its standard error is kept."""

    def __init__(self, env: dict[str, str], log: Path, *arguments: str) -> None:
        super().__init__(env, *arguments)
        self.log = log

    def start(self) -> None:
        """Start and wait until it answers."""
        with self.log.open("wb") as log:
            saved = os.dup(2)
            os.dup2(log.fileno(), 2)
            try:
                super().start()
            finally:
                os.dup2(saved, 2)
                os.close(saved)

    def connect(self) -> socket.socket:
        url = urlsplit(self.base_url)
        return socket.create_connection((url.hostname or "", url.port or 0), timeout=20)

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self.child.poll() is None

    @property
    def child(self) -> subprocess.Popen[str]:
        assert self._child is not None
        return self._child

    @property
    def pid(self) -> int:
        """Its process, or the parent of its processes."""
        return self.child.pid

    def waits(self) -> int:
        """Wait until it has ended. Its exit code."""
        return self.child.wait(60)

    def ends(self) -> str:
        """SIGTERM; what it says until it ends. Its exit code is 0 and it keeps the time."""
        begun = time.monotonic()
        assert self.stop() == 0
        assert time.monotonic() - begun < _GRACE
        said = self.log.read_text()
        assert "Traceback" not in said
        assert "Exception" not in said
        return said


@contextmanager
def _ready(server: _Server) -> Iterator[_Server]:
    try:
        server.start()
        yield server
    finally:
        server.kill()


async def _until_state(clinic: TenantStore, job: str, holds: Callable[[State], bool]) -> State:
    """The first state of the job that is as it should be."""
    async with asyncio.timeout(60):
        while not holds(state := (await clinic.jobs.get(job)).state):  # noqa: ASYNC110 - other processes change it
            await asyncio.sleep(0.02)
    return state


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_ends_while_clients_hang(tmp_path: Path, workers: int) -> None:
    """Connections without a request, with half a head, half a body, and an answer that nobody reads."""
    env = {"FHIRSTORE_STORE": f"file:{tmp_path}/data"}
    with _ready(_Server(env, tmp_path / "log", "--workers", str(workers))) as server:
        put = httpx.put(f"{server.base_url}/Binary/b", content=b"x" * 8_000_000, headers={"Content-Type": "text/plain"})
        assert put.status_code == 201
        clients = []
        get = b"GET /fhir/Binary/b HTTP/1.1\r\n" + _HOST + b"\r\n"
        for sent in (b"", b"GET /fhir/meta", _HALF, get, get + get) * 2:
            clients.append(server.connect())
            clients[-1].sendall(sent)
        time.sleep(0.5)
        assert server.ends() == ""
        for client in clients:
            client.close()


def test_answers_under_way_are_given_before_the_server_ends(tmp_path: Path) -> None:
    """A client that sends the rest of its body after the SIGTERM is answered."""
    env = {"FHIRSTORE_STORE": f"file:{tmp_path}/data"}
    with _ready(_Server(env, tmp_path / "log")) as server, server.connect() as client:
        body = b'{"resourceType":"Patient","id":"h"'.ljust(98) + b"}"
        client.sendall(_HALF)
        time.sleep(0.3)
        ending = Thread(target=server.ends)
        ending.start()
        time.sleep(0.5)
        client.sendall(body[1:])
        assert client.recv(65_536).startswith(b"HTTP/1.1 201 ")
        ending.join()


def test_a_server_that_drains_is_not_ready_and_still_answers(tmp_path: Path) -> None:
    """For FHIRSTORE_DRAIN_SECONDS it takes connections and requests, and answers say that the connection ends."""
    env = {"FHIRSTORE_STORE": f"file:{tmp_path}/data", "FHIRSTORE_DRAIN_SECONDS": "4"}
    with _ready(_Server(env, tmp_path / "log", "--workers", "2")) as server, httpx.Client() as client:
        root = server.base_url.removesuffix("/fhir")
        assert client.get(f"{root}/health/ready").status_code == 200
        begun = time.monotonic()
        os.kill(server.pid, signal.SIGTERM)
        _until(lambda: httpx.get(f"{root}/health/ready").status_code == 503)
        assert httpx.get(f"{root}/health/ready").json() == {"status": "the server is being stopped"}
        assert httpx.get(f"{root}/health/live").status_code == 200
        put = httpx.put(f"{server.base_url}/Patient/p", json={"resourceType": "Patient", "id": "p"})
        assert (put.status_code, put.headers["connection"]) == (201, "close")
        assert server.waits() == 0
        assert time.monotonic() - begun > 4


@pytest.mark.parametrize("workers", [1, 2])
def test_a_second_signal_ends_a_server_at_once(tmp_path: Path, workers: int) -> None:
    """Although a client that is still sending its body would have had a minute."""
    env = {"FHIRSTORE_STORE": f"file:{tmp_path}/data", "FHIRSTORE_STOP_TIMEOUT": "60"}
    with _ready(_Server(env, tmp_path / "log", "--workers", str(workers))) as server, server.connect() as client:
        client.sendall(_HALF)
        time.sleep(0.5)
        begun = time.monotonic()
        os.kill(server.pid, signal.SIGTERM)
        time.sleep(1.5)
        os.kill(server.pid, signal.SIGINT)
        assert server.waits() == 0
        assert time.monotonic() - begun < 30


async def test_a_server_hands_its_jobs_back_before_its_clients_are_done(tmp_path: Path) -> None:
    """A worker process goes on with an export while the server still waits for the body of a request.

    It does not wait for the end of the lease, and has the next epoch.
    """
    location = f"file:{tmp_path}/data"
    async with FhirStore.open(location) as store:
        clinic = store.tenant("default")
        await load(clinic, 5_000)
        job = (await clinic.exports.start(ExportRequest(types=["Observation"]))).id
        env = {"FHIRSTORE_STORE": location, "FHIRSTORE_STOP_TIMEOUT": "30", "FHIRSTORE_EXPORT_CONCURRENCY": "1"}
        with _ready(_Server(env, tmp_path / "log", "--workers", "2")) as server, server.connect() as client:
            client.sendall(_HALF)
            held = await _until_state(clinic, job, lambda state: state.status == "running")
            os.killpg(server.pid, signal.SIGTERM)
            freed = await _until_state(clinic, job, lambda state: state.status == "waiting")
            assert (freed.owner, freed.epoch, freed.expires) == (None, held.epoch, 0)
            worker = await asyncio.create_subprocess_exec(*WORKER, env={**os.environ, **env})
            try:
                taken = await _until_state(clinic, job, lambda state: state.epoch > held.epoch)
                assert store.tenancy.place("default").objects.now() < held.expires
                assert server.alive
                assert taken.epoch == held.epoch + 1
                worker.terminate()
                assert await worker.wait() == 0
                freed = (await clinic.jobs.get(job)).state
                assert (freed.status, freed.owner, freed.epoch, freed.expires) == ("waiting", None, taken.epoch, 0)
            finally:
                if worker.returncode is None:
                    worker.kill()
                    await worker.wait()
            client.sendall(b'"resourceType":"Patient","id":"h"'.ljust(97) + b"}")
            assert client.recv(65_536).startswith(b"HTTP/1.1 201 ")
            assert server.waits() == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_ends_while_its_store_does_not_answer(ministack: S3Server, tmp_path: Path, workers: int) -> None:
    """Reads and writes wait for a store that accepts and never answers; the process says that it left them."""
    env = ministack.serving(ministack.location())
    with _ready(_Server(env, tmp_path / "log", "--workers", str(workers))) as server:
        assert httpx.put(f"{server.base_url}/Patient/p", json={"resourceType": "Patient", "id": "p"}).status_code == 201
        os.kill(ministack.pid, signal.SIGSTOP)
        clients = []
        try:
            put = _HALF.replace(b": 99", b": 35") + b'"resourceType":"Patient","id":"h"}'
            get = b"GET /fhir/Patient/p HTTP/1.1\r\n" + _HOST + b"\r\n"
            for sent in (get, put) * 4:
                clients.append(server.connect())
                clients[-1].sendall(sent)
            time.sleep(0.5)
            said = server.ends().splitlines()
        finally:
            os.kill(ministack.pid, signal.SIGCONT)
        assert len(said) <= workers
        assert all(line.startswith("fhirstore: stopped at once: ") for line in said)
        for client in clients:
            client.close()


def test_a_server_that_is_starting_ends_at_once() -> None:
    """Also while it waits for a store that never answers."""
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
    with socket.create_server(("127.0.0.1", 0)) as store:
        store.settimeout(60)
        there = {"FHIRSTORE_S3_ENDPOINT_URL": f"http://127.0.0.1:{store.getsockname()[1]}"}
        settings = {"FHIRSTORE_S3_ALLOW_HTTP": "true", "FHIRSTORE_STORE": "s3://bucket/place", "PORT": "0"}
        command = [str(Path(sys.executable).with_name("fhirstore")), "serve"]
        env = {**os.environ, **keys, **there, **settings, "NO_PROXY": "127.0.0.1"}
        with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as child:
            asked, _ = store.accept()
            child.terminate()
            _, said = child.communicate(timeout=_GRACE)
            asked.close()
    assert child.returncode == 0
    assert "Traceback" not in said


@pytest.mark.parametrize("seconds", [0, 0.001, 0.002, 0.005, 0.01, 0.05])
def test_a_server_that_has_just_said_where_it_is_ends(seconds: float) -> None:
    """A signal between the banner and the first request is not lost."""
    command = [str(Path(sys.executable).with_name("fhirstore")), "serve", "--store", "memory:"]
    env = {**os.environ, "HOST": "127.0.0.1", "PORT": "0"}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout
        for line in child.stdout:
            if line.strip().startswith("data "):
                break
        time.sleep(seconds)
        child.terminate()
        try:
            _, said = child.communicate(timeout=_GRACE)
        finally:
            child.kill()
    assert child.returncode == 0
    assert "Traceback" not in said
