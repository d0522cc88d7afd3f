"""A server that is killed in the middle of transactions leaves each bundle wholly there or wholly absent.

FHIRSTORE_KILL_TEST_BUNDLE_RUNS sets how often it is killed; `python -m tests.bundles.kill` does it on its own.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from conformance.s3servers import S3Server
from tests.bundles.kill import kill

_RUNS = int(os.environ.get("FHIRSTORE_KILL_TEST_BUNDLE_RUNS", "4"))


@pytest.mark.parametrize("store", ["embedded", "seaweedfs"])
@pytest.mark.kill
async def test_bundles_are_whole_after_kill_9(store: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Reads, search, references and history agree; bundles with a key that are sent again are made once."""
    env = {"FHIRSTORE_STORE": f"file:{tmp_path}/data"}
    if store == "seaweedfs":
        server: S3Server = request.getfixturevalue("seaweedfs")
        env = server.serving(server.location())
    report = await kill(env, runs=_RUNS, seed=random.randrange(1_000_000))
    assert not report.wrong, "\n".join([report.line(), *report.wrong])
    assert report.bundles["acknowledged and there"]
