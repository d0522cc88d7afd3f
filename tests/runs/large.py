"""`python -m tests.runs.large --store embedded|seaweedfs`: a run of 2 GB, written and read in processes of their own.

It states the peak memory above that of an idle process, and the rate beside that of a raw client: for SeaweedFS
obstore's multipart upload and GET; for the embedded store a plain file, fsynced, with and without a SHA-256 of its
bytes. The bound is that of the client that hashes, since a run is verified. Rounds alternate, so that all meet the same
machine. Then a writer is killed in the middle: nothing may be visible, and the second try must succeed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from conformance.s3servers import running, seaweedfs
from fhirstore import FhirStore, RunNotFound, S3Options

RUN_ID = "killed"
_PATIENCE = 1_800  # seconds


@dataclass(frozen=True, slots=True)
class Place:
    """A store for children: its location, and for S3 its endpoint and keys."""

    location: str
    endpoint: str | None
    environment: Mapping[str, str]

    def command(self, what: str, *, run_id: str, mib: int) -> list[str]:
        """The command of a child."""
        command = [sys.executable, "-m", "tests.runs.child", what, self.location, "--run-id", run_id]
        return [*command, "--mib", str(mib), *(["--endpoint", self.endpoint] if self.endpoint else [])]

    def open(self) -> AbstractAsyncContextManager[FhirStore]:
        """The store, in this process."""
        options = S3Options(endpoint_url=self.endpoint, allow_http=True) if self.endpoint else None
        return FhirStore.open(self.location, s3=options)


@contextmanager
def place_on(store: str, folder: Path) -> Iterator[Place]:
    """A fresh store of this kind."""
    if store == "embedded":
        yield Place(f"file:{folder / 'store'}", None, {})
        return
    with running(seaweedfs, folder) as server:
        os.environ.update(server.environment())
        yield Place(server.location(), server.endpoint_url, server.environment())


def run_child(place: Place, what: str, *, run_id: str, mib: int) -> dict[str, float]:
    """Run a child to its end. Returns its figures."""
    done = subprocess.run(
        place.command(what, run_id=run_id, mib=mib),
        env={**os.environ, **place.environment},
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{what} failed: {done.stderr[-2_000:]}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def kill_in_the_middle(place: Place, *, run_id: str, mib: int) -> None:
    """Start a writer, and kill it with SIGKILL when it has written more than half."""
    command = place.command("write", run_id=run_id, mib=mib)
    with subprocess.Popen(command, env={**os.environ, **place.environment}, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if line.startswith("at ") and int(line.split()[1]) >= mib // 2:
                child.kill()
                break
        child.wait(60)
    assert child.returncode == -9, "it was too quick to be killed"


async def visible(place: Place, *, run_id: str, mib: int) -> bool:
    """Whether a reader sees the run, opened or listed."""
    async with place.open() as store:
        runs = store.tenant("default").runs("large")
        listed = run_id in [run.run_id async for run in runs.walk()]
        try:
            await runs.open({"size": str(mib)}, run_id=run_id)
        except RunNotFound:
            return listed
        return True


def main() -> int:
    """Do what the arguments say; 1 if a bound does not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.runs.large", description=__doc__)
    parser.add_argument("--store", choices=["embedded", "seaweedfs"], required=True)
    parser.add_argument("--mib", type=int, default=2_048)
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, place_on(asked.store, Path(folder)) as place:
        steps = ["raw-write", "write", "raw-read", "read"]
        if asked.store == "embedded":
            steps[1:1], steps[-1:-1] = ["hashed-write"], ["hashed-read"]
        rates: dict[str, list[float]] = {what: [] for what in steps}
        peaks: dict[str, float] = {}
        for number in range(asked.rounds):
            for what in steps:
                figures = run_child(place, what, run_id=f"r{number}", mib=asked.mib)
                rates[what].append(asked.mib / figures["seconds"])
                peaks[what] = max(peaks.get(what, 0.0), figures["peak"])
                print_now(f"{what:<12} {rates[what][-1]:8.0f} MiB/s   peak {figures['peak']:6.0f} MiB above idle")
            asyncio.run(delete(place, run_id=f"r{number}", mib=asked.mib))
            for file in Path(folder).glob("store.*"):
                file.unlink()
        kill_in_the_middle(place, run_id=RUN_ID, mib=asked.mib)
        assert not asyncio.run(visible(place, run_id=RUN_ID, mib=asked.mib)), "a killed writer's run is visible"
        run_child(place, "write", run_id=RUN_ID, mib=asked.mib)
        run_child(place, "read", run_id=RUN_ID, mib=asked.mib)
        print_now("killed in the middle: nothing visible; the second try was sealed, and read")
        return 1 if _bounds(rates, peaks) else 0


async def delete(place: Place, *, run_id: str, mib: int) -> None:
    """Delete a run, so that the disk does not fill."""
    async with place.open() as store:
        await store.tenant("default").runs("large").delete({"size": str(mib)}, run_id=run_id)


def _bounds(rates: Mapping[str, Sequence[float]], peaks: Mapping[str, float]) -> list[str]:
    wrong: list[str] = []
    for what in ("write", "read"):
        own = statistics.median(rates[what])
        clients = [name for name in ("raw", "hashed") if f"{name}-{what}" in rates]
        shares = [own / statistics.median(rates[f"{name}-{what}"]) for name in clients]
        told = ", ".join(
            f"{share:.2f} of the {name} client's rate" for name, share in zip(clients, shares, strict=True)
        )
        print_now(f"{what}: {told}, peak {peaks[what]:.0f} MiB above idle")
        if shares[-1] < 0.7:
            wrong.append(f"{what}: the rate")
        if peaks[what] > 150:
            wrong.append(f"{what}: the memory")
    for each in wrong:
        print_now(f"NOT within its bound: {each}")
    return wrong


def print_now(line: str) -> None:
    """To standard output, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
