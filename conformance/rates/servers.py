"""The servers of a measurement: ours, the empty endpoint and SeaweedFS, as child processes on free local ports.

Their data and logs lie in a folder that the caller throws away; each is ended by its own pid.
"""

from __future__ import annotations

import http.client
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from obstore.store import S3Store

from conformance.processes import ServerProcess, executable, free_ports, wait_until
from conformance.s3servers import REGION, S3Server


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers at `url`, and the process whose CPU time is its own."""

    url: str
    pid: int


@contextmanager
def fhirstore(store: str, folder: Path, *, workers: int = 1) -> Iterator[Running]:
    """`fhirstore serve` on `store`, in this process's environment; `url` is the FHIR base."""
    command = [executable("fhirstore"), "serve", "--store", store, "--workers", str(workers)]
    command += ["--host", "127.0.0.1", "--port"]
    with _answering(command, "/health/ready", folder / "fhirstore") as running:
        yield Running(f"{running.url}/fhir", running.pid)


@contextmanager
def empty_endpoint(folder: Path) -> Iterator[Running]:
    """`conformance.rates.empty`, on the ASGI server and with the options that `fhirstore serve` uses."""
    with _answering([sys.executable, "-m", "conformance.rates.empty"], "/", folder / "empty") as running:
        yield running


def raw_client(server: S3Server, prefix: str) -> S3Store:
    """An obstore client that tries once, in the server's own bucket."""
    return S3Store(
        server.bucket,
        prefix=prefix,
        endpoint=server.endpoint_url,
        access_key_id=server.access_key,
        secret_access_key=server.secret_key,
        region=REGION,
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )


@contextmanager
def _answering(command: list[str], path: str, folder: Path) -> Iterator[Running]:
    """The server that `command` and a port start, once it answers `path`."""
    (port,) = free_ports(1)
    folder.mkdir()
    process = ServerProcess([*command, str(port)], folder, os.environ)
    process.start()
    try:
        wait_until(lambda: problem(port, path), name=folder.name, process=process)
        yield Running(f"http://127.0.0.1:{port}", process.pid)
    finally:
        process.end(signal.SIGTERM)


def problem(port: int, path: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()
    return "" if status == 200 else f"{path} answers {status}"
