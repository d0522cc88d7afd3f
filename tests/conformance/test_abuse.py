"""The harness of abuse measures what it says, and ends."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from conformance.abuse.bodies import LIMIT, doubling_json_patch, large_bundle, repeated
from conformance.abuse.target import NotHere, target
from conformance.abuse.work import WORK
from tests.server.processes import served

pytestmark = pytest.mark.slow


def test_bodies_are_of_legal_size() -> None:
    """At most 16 MB, and as many items as fit."""
    assert len(repeated(b"[", b"1", b"]")) <= LIMIT
    assert LIMIT - 1_000 < len(large_bundle()) <= LIMIT
    assert len(json.loads(doubling_json_patch())) == 61


def test_names_of_abuses_are_unlike() -> None:
    """So that a row of the table says which it is."""
    assert len({one.name for one in WORK}) == len(WORK)


def test_only_this_machine_is_abused_unless_forced() -> None:
    """A server elsewhere is refused before anything is sent."""
    assert target("http://127.0.0.1:1/fhir", patience=1).base == "/fhir"
    with pytest.raises(NotHere):
        target("http://192.0.2.1/fhir", patience=1)
    assert target("http://192.0.2.1/fhir", patience=1, anywhere=True).port == 80


def test_one_abuse_of_a_real_server_is_measured(tmp_path: Path) -> None:
    """Its row has the answer, the wait of the ticks and the memory; the exit code tells whether any waited long."""
    with served({"FHIRSTORE_STORE": f"file:{tmp_path}"}) as process:
        command = [sys.executable, "-m", "conformance", "abuse", process.base_url, "--only", "Prefer", "--json"]
        # A machine that does other work is waited for first: up to a minute.
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode in (0, 1), done.stderr
    nothing, row = json.loads(done.stdout)
    assert nothing["name"] == "(nothing)"
    assert row["answer"] == "200"
    assert row["stall"] > 0 and row["seconds"] > 0


def test_a_window_that_ends_before_the_ticker_has_read_its_beginning_is_answered(tmp_path: Path) -> None:
    """On a busy machine both lines lie in the pipe when the process looks, and the second must not be forgotten."""
    with served({"FHIRSTORE_STORE": f"file:{tmp_path}"}) as process:
        port = str(httpx.URL(process.base_url).port)
        command = [sys.executable, "-m", "conformance.abuse.ticking", "127.0.0.1", port]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as ticking:
            assert ticking.stdin is not None and ticking.stdout is not None
            try:
                ticking.stdin.write(b"begin\nend\nbegin\nend\n")
                ticking.stdin.flush()
                for _ in range(2):
                    ready, _, _ = select.select([ticking.stdout], [], [], 100)
                    assert ready, "no answer"
                    assert set(json.loads(ticking.stdout.readline())) == {"longest", "ticks", "failures"}
            finally:
                ticking.kill()
