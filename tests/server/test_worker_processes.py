"""The parent of several worker processes, and the port that they share."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from server.process.listening import bound, for_workers
from tests.server.processes import ServeProcess, served


def _of_worker(port: socket.socket) -> socket.socket:
    """What a worker process gets."""
    listener: socket.socket = pickle.loads(pickle.dumps(port))  # noqa: S301 - of this test itself
    return listener


def _close_a_connection(listener: socket.socket) -> None:
    """Let the server's side be the one that lingers."""
    listener.listen()
    with socket.create_connection(listener.getsockname()) as client:
        accepted, _ = listener.accept()
        accepted.close()
        assert client.recv(1) == b""


def test_a_port_is_free_again_when_workers_that_closed_connections_have_ended() -> None:
    """Without SO_REUSEADDR a restart had to wait for a minute."""
    port = for_workers(bound("127.0.0.1", 0))
    worker = _of_worker(port)
    address = worker.getsockname()
    _close_a_connection(worker)
    worker.close()
    port.held.close()  # type: ignore[attr-defined]
    for_workers(bound(*address)).held.close()  # type: ignore[attr-defined]


def test_workers_take_the_port_of_a_single_process_that_has_ended() -> None:
    """A server is restarted with --workers."""
    single = bound("127.0.0.1", 0)
    address = single.getsockname()
    _close_a_connection(single)
    single.close()
    for_workers(bound(*address)).held.close()  # type: ignore[attr-defined]


def test_nobody_takes_the_port_before_the_workers_listen() -> None:
    """The held socket keeps others from it, and lets the workers' own in."""
    port = for_workers(bound("127.0.0.1", 0))
    held = port.held  # type: ignore[attr-defined]
    with pytest.raises(OSError, match="in use"):
        bound(*held.getsockname())
    with _of_worker(port) as worker:
        worker.listen()
        with pytest.raises(OSError, match="in use"):
            bound(*held.getsockname())
    held.close()


def _workers(server: ServeProcess) -> list[int]:
    """Its worker processes, and not the one that tracks their resources."""
    command = ["ps", "-axww", "-o", "ppid=", "-o", "pid=", "-o", "args="]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = [line.split(maxsplit=2) for line in listed.splitlines()]
    return [int(pid) for ppid, pid, *args in lines if int(ppid) == server.pid and "spawn_main" in "".join(args)]


@pytest.mark.kill
def test_a_worker_that_stands_still_for_a_while_is_kept_and_a_signal_does_not_wait_for_it(tmp_path: Path) -> None:
    """Nor for one that does not answer: the parent looks for answers, and waits for none."""
    with served({"FHIRSTORE_STORE": f"file:{tmp_path}/data"}, "--workers", "2") as server:
        workers = _workers(server)
        assert len(workers) == 2
        os.kill(workers[0], signal.SIGSTOP)
        time.sleep(7)
        assert _workers(server) == workers
        os.kill(workers[0], signal.SIGCONT)
        for _ in range(8):
            assert httpx.get(f"{server.base_url}/metadata").status_code == 200
        os.kill(workers[1], signal.SIGSTOP)
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 30


@pytest.mark.kill
def test_workers_end_after_a_parent_that_was_killed(tmp_path: Path) -> None:
    """So the port is free for the next server."""
    with served({"FHIRSTORE_STORE": f"file:{tmp_path}/data"}, "--workers", "2") as server:
        url = urlsplit(server.base_url)
        os.kill(server.pid, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while True:
            try:
                bound(url.hostname or "", url.port or 0).close()
                return
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.1)


@pytest.mark.kill
def test_a_worker_that_was_killed_is_replaced(tmp_path: Path) -> None:
    """And the server goes on."""
    with served({"FHIRSTORE_STORE": f"file:{tmp_path}/data"}, "--workers", "2") as server:
        killed = _workers(server)[0]
        os.kill(killed, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while killed in (now := _workers(server)) or len(now) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert httpx.get(f"{server.base_url}/metadata").status_code == 200
