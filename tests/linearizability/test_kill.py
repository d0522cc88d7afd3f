"""Servers that are killed and stopped at random, on one store: no client ever sees anything that cannot be.

FHIRSTORE_KILL_TEST_SECONDS sets how long each run loads the servers; `python -m tests.linearizability` repeats it.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from conformance.s3servers import S3Server
from tests.linearizability.__main__ import SETTLE_SECONDS
from tests.linearizability.run import run

_SECONDS = float(os.environ.get("FHIRSTORE_KILL_TEST_SECONDS", "12"))


@pytest.mark.parametrize("store", ["embedded", "seaweedfs"])
@pytest.mark.kill
async def test_three_servers_stay_linearizable_through_kill_9_and_stops(
    store: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Every acknowledged version is there, refused ones are not, and reads see what was current at some instant."""
    env = {"FHIRSTORE_STORE": f"file:{tmp_path}/data"}
    if store == "seaweedfs":
        server: S3Server = request.getfixturevalue("seaweedfs")
        env = server.serving(server.location())
    seed = random.randrange(1_000_000)
    report = await run(env, seconds=_SECONDS, seed=seed, settle=SETTLE_SECONDS[store])
    assert not report.wrong, report.line()
    assert report.faults["kills"] >= 2
    assert report.faults["long stops"] >= 1
