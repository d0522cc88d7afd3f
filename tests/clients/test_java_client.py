"""Java's own HTTP client, on which Spring and Quarkus build, writes with its default settings."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.server.processes import served

pytestmark = pytest.mark.slow

_PROGRAM = Path(__file__).with_name("UpgradingClient.java")


@pytest.mark.skipif(shutil.which("java") is None, reason="java is not on the PATH")
def test_a_java_client_that_asks_for_h2c_writes_and_reads() -> None:
    """Every POST and PUT arrives whole, with Content-Length and chunked, on new connections and on one."""
    with served({"FHIRSTORE_STORE": "memory:"}) as server:
        command = ["java", "-Xshare:auto", str(_PROGRAM), server.base_url]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if "compiler" in done.stderr.lower() or "ClassNotFound" in done.stderr:
        pytest.skip("this java runs no source files")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("20") == 10
