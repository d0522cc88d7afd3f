"""Fixtures that several test folders share: the S3 servers, each started once and only when a test asks for it.

A test that asks for one gets the marker `s3`, whether it names the fixture or a parameter names the server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import conformance.s3servers
import fhirstore.indexing.indexer
from conformance.processes import NotInstalled
from conformance.s3servers import S3Server
from tests import s3servers
from tests.server.stores import STORES

S3_SERVERS = frozenset({"ministack", "seaweedfs", "rclone", "s3rver", "minio", "aws"})


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the one parameter of the matrix."""
    parser.addoption("--store", choices=STORES, default=STORES[0], help="the store below the HTTP suite, tests/server")


@pytest.hookimpl(tryfirst=True)  # before -m deselects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks with `s3` every test that needs an S3 server."""
    for item in items:
        if isinstance(item, pytest.Function) and needs_s3(item):
            item.add_marker("s3")


def needs_s3(test: pytest.Function) -> bool:
    """Tells whether the test uses an S3 server's fixture, or has a parameter with the name of one."""
    parameters = test.callspec.params.values() if hasattr(test, "callspec") else ()
    return not S3_SERVERS.isdisjoint({*test.fixturenames, *(each for each in parameters if isinstance(each, str))})


# A slow machine is no failure: how long examples take to make is not what is tested.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
# Nor is how long a search waits until the index is built.
fhirstore.indexing.indexer.PATIENCE = 120.0


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
    """MinIO, opt-in: at a given endpoint, or in Docker."""
    with s3servers.minio() as server:
        yield server


@pytest.fixture(scope="session")
def aws() -> S3Server:
    """AWS, opt-in."""
    return s3servers.aws()
