"""An export whose workers are killed with -9 completes once, and has each line once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fhirstore import FhirStore
from tests.export.kill import kill, load
from tests.export.reading import HURRIED

_HURRIED_WORKER = (sys.executable, "-m", "tests.export.hurried_worker")


@pytest.mark.kill
async def test_an_export_outlives_its_workers(tmp_path: Path) -> None:
    """`python -m tests.export kill` does it with 100,000 resources."""
    location = f"file:{tmp_path}/data"
    async with FhirStore.open(location, limits=HURRIED) as store:
        clinic = store.tenant("default")
        ids = await load(clinic, 10_000)
        env = {"FHIRSTORE_STORE": location}
        report = await kill(clinic, env, ids, command=_HURRIED_WORKER, every=1.5)
    assert report.wrong == [], report.line()
    assert report.kills
