"""The stores and servers of a run. Data stay in its folder; logs lie in a temporary one."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from conformance.bench.search.notes import Notes
from conformance.processes import ServerFailed, executable
from conformance.rates.run import environment
from conformance.rates.servers import Running, fhirstore
from conformance.s3servers import running as s3_running
from conformance.s3servers import seaweedfs

STORES = ("embedded", "s3")
_PREFIX = "fhir"
_COMMAND_SECONDS = 7200.0


@dataclass(frozen=True, slots=True)
class Bench:
    """A store with its index, both below a folder. The environment of this process leads servers to it."""

    location: str
    index: Path

    @contextmanager
    def served(self, workers: int) -> Iterator[Running]:
        """A server with so many workers."""
        with (
            tempfile.TemporaryDirectory(prefix="fhirstore-bench-") as logs,
            fhirstore(self.location, Path(logs), workers=workers) as server,
        ):
            yield server

    def command(self, *words: str) -> float:
        """Runs a command of `fhirstore` on the store. Returns the seconds it took. Raises ServerFailed."""
        began = time.perf_counter()
        ran = subprocess.run(
            [executable("fhirstore"), *words, "--store", self.location],
            env=os.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_COMMAND_SECONDS,
            check=False,
        )
        if ran.returncode:
            said = ran.stdout + ran.stderr
            raise ServerFailed(f"fhirstore {' '.join(words)} ended with {ran.returncode}: {said[-1000:]}")
        return time.perf_counter() - began

    def forget_index(self) -> None:
        """Removes the local index, as a new machine has none."""
        shutil.rmtree(self.index, ignore_errors=True)

    def index_bytes(self) -> int:
        """The size of the local index."""
        return sum(path.stat().st_size for path in self.index.rglob("*") if path.is_file())


@contextmanager
def bench_of(notes: Notes, folder: Path) -> Iterator[Bench]:
    """The store that the note names, with what an earlier run left in it."""
    index = folder / "index"
    with ExitStack() as stack:
        location, there = f"file:{folder / 'data'}", {}
        if notes.note.store == "s3":
            s3 = stack.enter_context(s3_running(seaweedfs, folder / "weed"))
            notes.note.bucket = notes.note.bucket or s3.bucket
            location = s3.location(_PREFIX, bucket=notes.note.bucket)
            there = s3.serving(location)
        stack.enter_context(environment({**there, "FHIRSTORE_INDEX": str(index)}))
        yield Bench(location, index)
