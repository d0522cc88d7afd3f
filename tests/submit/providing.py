"""A provider for the tests: folders of NDJSON with a manifest, a submitter, and a worker that does the work."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fhirstore.commit.limits import Limits
from fhirstore.jobs.kind import JobKind
from fhirstore.store import FhirStore
from fhirstore.submit.lines import Bounds
from fhirstore.submit.local import LocalFiles
from fhirstore.submit.options import SubmitOptions
from fhirstore.submit.request import SubmitRequest
from fhirstore.submit.source import Sources
from fhirstore.submit.status import SubmissionStatus
from fhirstore.submit.submitters import Mode, Submitter, Submitters
from fhirstore.tenant import TenantStore

ACME = "https://example.org/submitters|acme"
BASE = "https://source.example.org/fhir"
QUICK = Limits(window=1_000, apply=200)
"""Short windows, so that an undoing need not wait long."""


def options(
    folder: Path,
    *,
    ids: str = "keep",
    bounds: Bounds | None = None,
    sources: Sources | None = None,
    concurrency: int = 16,
    tries: int = 6,
) -> SubmitOptions:
    """One submitter, who may submit files of this folder."""
    acme = Submitter(
        identifier=ACME, tenant="default", folders=(str(folder),), ids="remap" if ids == "remap" else "keep"
    )
    return SubmitOptions(
        submitters=Submitters([acme]),
        sources=sources or LocalFiles(),
        bounds=bounds or Bounds(lines=20),
        concurrency=concurrency,
        tries=tries,
        pause=50,
    )


def patient(id: str, **members: object) -> dict[str, object]:
    """A Patient."""
    return {"resourceType": "Patient", "id": id, **members}


def ndjson(resources: Iterable[object]) -> bytes:
    """Lines of JSON; bytes stay as they are."""
    return b"".join((one if isinstance(one, bytes) else json.dumps(one).encode()) + b"\n" for one in resources)


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that files are provided from."""

    path: Path

    def write(self, name: str, resources: Iterable[object]) -> str:
        """Writes a file. Returns its URL."""
        (self.path / name).write_bytes(ndjson(resources))
        return (self.path / name).as_uri()

    def manifest(self, name: str, files: Sequence[tuple[str, str, int | None]], **members: object) -> str:
        """Writes a manifest of files (type, URL, count). Returns its URL."""
        output = [
            {"type": type, "url": url, **({} if count is None else {"count": count})} for type, url, count in files
        ]
        body = {
            "transactionTime": "2026-11-28T00:00:00Z",
            "requiresAccessToken": False,
            "output": output,
            "error": [],
            **members,
        }
        (self.path / name).write_text(json.dumps(body))
        return (self.path / name).as_uri()

    def patients(self, name: str, resources: Sequence[object]) -> str:
        """Writes a manifest of one file of Patients. Returns its URL."""
        url = self.write(f"{name}.ndjson", resources)
        return self.manifest(f"{name}.json", [("Patient", url, len(resources))])


def request(
    manifest: str | None = None, *, status: str | None = None, replaces: str | None = None, mode: Mode | None = None
) -> SubmitRequest:
    """A request of submission 1."""
    return SubmitRequest(
        submitter=ACME,
        submission_id="s1",
        status=status,
        manifest_url=manifest,
        replaces=replaces,
        fhir_base_url=BASE if manifest is not None else None,
        mode=mode,
    )


@asynccontextmanager
async def working(store: FhirStore, kinds: Sequence[JobKind] | None = None) -> AsyncIterator[list[str]]:
    """A worker does the work meanwhile. Yields what it says of failures."""
    said: list[str] = []
    stop = asyncio.Event()
    worker = asyncio.create_task(store.worker(kinds=kinds, poll=0.05, say=said.append).run(stop))
    try:
        yield said
    finally:
        stop.set()
        await worker


async def finished(clinic: TenantStore, *, id: str = "s1", within: float = 60.0) -> SubmissionStatus:
    """The status of submission 1, or that one, once it is finished, or has failed."""
    async with asyncio.timeout(within):
        while True:
            status = await clinic.submissions.status(ACME, id)
            if status.finished or status.failure:
                return status
            await asyncio.sleep(0.05)


async def processed(clinic: TenantStore, count: int, *, within: float = 60.0) -> SubmissionStatus:
    """The status of submission 1 once so many of its manifests are processed, failed or undone."""
    async with asyncio.timeout(within):
        while True:
            status = await clinic.submissions.status(ACME, "s1")
            done = sum(one.state in ("processed", "failed", "undone") for one in status.manifests)
            if done >= count or status.failure:
                return status
            await asyncio.sleep(0.05)


async def outcomes(clinic: TenantStore, status: SubmissionStatus) -> list[dict[str, object]]:
    """All OperationOutcomes of a submission."""
    found: list[dict[str, object]] = []
    for manifest, file in status.files:
        key, _ = await clinic.submissions.file(ACME, "s1", f"{manifest.id}.{file.name}")
        async with clinic.submissions.open_file(key) as stream:
            body = b"".join([chunk async for chunk in stream])
        lines = [json.loads(line) for line in body.splitlines()]
        assert len(lines) == file.count
        found += lines
    return found


def diagnostics(outcome: dict[str, object]) -> str:
    """What the first issue of an OperationOutcome says."""
    issues = outcome["issue"]
    assert isinstance(issues, list)
    return str(issues[0]["diagnostics"])
