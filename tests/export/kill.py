"""An export whose workers are killed with -9 again and again: it completes once, and has each line once.

The workers are `fhirstore worker` processes, so that nothing is left of them but what lies in the store.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from fhirstore import ExportRequest, TenantStore
from fhirstore.fhir.json import with_identity
from fhirstore.format.record import Record
from fhirstore.objects.base import IF_ABSENT

WORKER = (str(Path(sys.executable).with_name("fhirstore")), "worker")
_AT_ONCE = 64
_LONG_AGO = 1_700_000_000_000  # epoch ms
_WITHIN = 1_800.0  # seconds
_CLAIMS = 4  # in a row without a checkpoint; with 10 a job is given up


@dataclass(slots=True)
class KillReport:
    """`kills`: of workers. `seconds`: from the kick-off to the end. `files`: in the manifest."""

    resources: int
    kills: int = 0
    seconds: float = 0.0
    files: int = 0
    wrong: list[str] = field(default_factory=list)

    def line(self) -> str:
        """The report in a line."""
        return (
            f"{self.resources:,} resources, {self.kills} kills, {self.files} files, {self.seconds:.0f} s: "
            f"{'as it should be' if not self.wrong else self.wrong[0]}"
        )


async def load(clinic: TenantStore, count: int) -> set[str]:
    """Stores small resources. Returns their ids.

    Of each only `current.json` is written, which is what an export of everything reads: a quarter of the requests.
    """
    gate = asyncio.Semaphore(_AT_ONCE)
    place = clinic._place

    async def store(number: int) -> str:
        id_ = f"o{number * 7919 % 1_000_003:06d}"  # not in the order in which they are made
        body = {"resourceType": "Observation", "status": "final", "code": {"text": f"number {number}"}}
        content = with_identity(dict(body), id=id_, version=1, last_updated=_LONG_AGO)
        record = Record(1, _LONG_AGO, f"op{number}", "PUT", content)
        async with gate:
            await place.objects.put(
                place.keys.resource("Observation", id_).current, record.encode(), condition=IF_ABSENT
            )
        return id_

    ids: set[str] = set()
    for start in range(0, count, 1_000):
        ids.update(await asyncio.gather(*[store(number) for number in range(start, min(count, start + 1_000))]))
    return ids


async def kill(
    clinic: TenantStore,
    env: Mapping[str, str],
    ids: set[str],
    *,
    command: Sequence[str] = WORKER,
    every: float = 2.0,
    workers: int = 2,
) -> KillReport:
    """Exports, with `workers` processes of which one is killed, and started again, `every` so many seconds.

    Nobody is killed while the job has been claimed several times without a checkpoint: on a machine so slow that
    workers get nothing done in that time, it would rightly be given up.
    """
    report = KillReport(len(ids))
    began = time.monotonic()
    started = await clinic.exports.start(ExportRequest(types=["Observation"]))
    crew = [_start(command, env) for _ in range(workers)]
    try:
        while time.monotonic() - began < _WITHIN:
            await asyncio.sleep(every)
            if (status := await clinic.exports.status(started.id)).status in ("completed", "failed"):
                break
            if (await clinic.jobs.get(started.id, kind="export")).state.attempts >= _CLAIMS:
                continue
            victim = report.kills % workers
            _kill(crew[victim])
            report.kills += 1
            crew[victim] = _start(command, env)
    finally:
        for process in crew:
            _kill(process)
    report.seconds = time.monotonic() - began
    if status.manifest is None:
        report.wrong.append(f"ended as {status.status}: {status.failure}")
        return report
    report.files = len(status.manifest.output)
    await _compare(clinic, started.id, ids, report)
    await clinic.exports.cancel(started.id)
    return report


async def _compare(clinic: TenantStore, id: str, ids: set[str], report: KillReport) -> None:
    manifest = (await clinic.exports.status(id)).manifest
    assert manifest is not None
    missing, count = set(ids), 0
    for file in manifest.output:
        rest = b""
        async with clinic.exports.open_file(id, file.name) as stream:
            async for chunk in stream:
                *lines, rest = (rest + chunk).split(b"\n")
                count += len(lines)
                missing.difference_update(line.split(b'"id":"', 1)[1].split(b'"', 1)[0].decode() for line in lines)
    if missing:
        report.wrong.append(f"{len(missing)} are missing")
    if count != len(ids):
        report.wrong.append(f"{count} lines instead of {len(ids)}")
    if manifest.error:
        report.wrong.append("reports errors")


def _start(command: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, env={**os.environ, **env}, stderr=subprocess.DEVNULL, start_new_session=True)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)
