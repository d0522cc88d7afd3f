"""Bundles from files (Synthea's, say), loaded whole, against the same resources created one by one.

Each store gets a fresh server per round. The loader is the client both times, so its own cost is in both rates. What
an entry creates on a condition is created there; in the other load every resource is posted without its id, and a
reference by search, which only a transaction resolves, names an id instead.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from conformance.rates.load import LoadFailed
from conformance.rates.run import environment
from conformance.rates.servers import fhirstore
from conformance.s3servers import running as s3_running
from conformance.s3servers import seaweedfs
from fhirstore.fhir.json import encode, parse
from server.commands.load import LoadSummary, load
from server.commands.load.reading import Bundle, Reader, find_files

Say = Callable[[str], None]

_REFERENCE_BY_SEARCH = re.compile(rb'"reference":"([A-Z][A-Za-z]*)\?[^"]*"')


@dataclass(frozen=True, slots=True)
class BundleRow:
    """Medians over rounds. `ratio`: resources per second in Bundles over those of single creates."""

    store: str
    bundles: int
    resources: int
    bundles_rate: float
    resources_rate: float
    creates_rate: float
    ratio: float


def measure(
    paths: Sequence[Path], stores: Sequence[str], *, rounds: int, concurrency: int, say: Say
) -> list[BundleRow]:
    """One row per store. Raises LoadFailed when anything was not stored."""
    count, singles = _singles(paths)
    rows = []
    with tempfile.TemporaryDirectory(prefix="fhirstore-bundles-") as name:
        folder = Path(name)
        single_file = folder / "singles.ndjson"
        single_file.write_bytes(b"\n".join(singles))
        for store in stores:
            taken = []
            for number in range(rounds):
                say(f"{store}: round {number + 1} of {rounds}")
                place = folder / f"{store}-{number}"
                place.mkdir()
                whole = _load(store, place / "whole", paths, "process", concurrency)
                single = _load(store, place / "single", [single_file], "entries", concurrency)
                taken.append((count / whole.seconds, whole.rate, single.rate, whole.rate / single.rate))
            rows.append(BundleRow(store, count, len(singles), *(median(values) for values in zip(*taken, strict=True))))
    return rows


def _singles(paths: Sequence[Path]) -> tuple[int, list[bytes]]:
    """How many Bundles there are, and their resources, without ids."""
    bundles = [found for found in Reader(find_files(paths), bundles="process") if isinstance(found, Bundle)]
    singles = []
    for bundle in bundles:
        entries = parse(bundle.body)["entry"]
        assert isinstance(entries, list)
        for entry in entries:
            if isinstance(entry, dict) and isinstance(entry.get("resource"), dict):
                single = encode({name: value for name, value in entry["resource"].items() if name != "id"})
                singles.append(_REFERENCE_BY_SEARCH.sub(rb'"reference":"\1/searched"', single))
    return len(bundles), singles


def _load(store: str, folder: Path, paths: Sequence[Path], bundles: str, concurrency: int) -> LoadSummary:
    folder.mkdir()
    with ExitStack() as stack:
        s3 = stack.enter_context(s3_running(seaweedfs, folder / "weed")) if store == "s3" else None
        stack.enter_context(environment(s3.serving(s3.location("fhir")) if s3 else {}))
        location = (
            os.environ["FHIRSTORE_STORE"] if s3 else ("memory:" if store == "memory" else f"file:{folder / 'data'}")
        )
        server = stack.enter_context(fhirstore(location, folder))
        summary = asyncio.run(load(paths, server.url, bundles=bundles, concurrency=concurrency))
    if not summary.ok:
        raise LoadFailed(f"{store}: {summary.failures or summary.stopped}")
    return summary
