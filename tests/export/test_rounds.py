"""While others write, an export equals the truth at its time."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from fhirstore import ExportOptions, FhirStore
from tests.export.reading import HURRIED, worker
from tests.export.rounds import Rounds


@pytest.mark.parametrize("kind", ["memory", "embedded"])
async def test_an_export_equals_the_history_at_its_time(kind: str, tmp_path: Path) -> None:
    """With updates, deletions, transactions and purges under way; chained exports tile; files are small, so many."""
    location = "memory:" if kind == "memory" else f"file:{tmp_path}/data"
    options = ExportOptions(part_bytes=4_000, concurrency=4)
    async with FhirStore.open(location, limits=HURRIED, export_options=options) as store, worker(store):
        rounds = Rounds(store, random.randrange(1_000_000))
        for _ in range(2):
            await rounds.round()
    assert rounds.wrong == [], rounds.seed
    assert rounds.checked > 100
