"""Fixtures that several test folders share: the S3 servers, each started once and only when a test asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

import conformance.s3servers
from conformance.processes import NotInstalled
from conformance.s3servers import S3Server
from tests import s3servers


@contextmanager
def running(start: Callable[[Path], S3Server], folder: Path) -> Iterator[S3Server]:
    """The server, ready; the test is skipped where its program is not installed."""
    with ExitStack() as stack:
        try:
            server = stack.enter_context(conformance.s3servers.running(start, folder))
        except NotInstalled as missing:
            pytest.skip(str(missing))
        yield server


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A quick S3 server; give each test a prefix (`location()`) or bucket of its own."""
    with running(conformance.s3servers.ministack, tmp_path_factory.mktemp("ministack")) as server:
        yield server


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server; a test that kills it must restart it, since others share it."""
    with running(conformance.s3servers.seaweedfs, tmp_path_factory.mktemp("weed")) as server:
        yield server


@pytest.fixture(scope="session")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Negative control: loses updates."""
    with running(s3servers.rclone, tmp_path_factory.mktemp("rclone")) as server:
        yield server


@pytest.fixture(scope="session")
def s3rver(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[S3Server]:
    """Negative control: knows no preconditions."""
    start = partial(s3servers.s3rver, installed=pytestconfig.cache.mkdir("s3rver"))
    with running(start, tmp_path_factory.mktemp("s3rver")) as server:
        yield server


@pytest.fixture(scope="session")
def minio() -> Iterator[S3Server]:
    """MinIO in Docker, opt-in."""
    with s3servers.minio() as server:
        yield server


@pytest.fixture(scope="session")
def aws() -> S3Server:
    """AWS, opt-in."""
    return s3servers.aws()
