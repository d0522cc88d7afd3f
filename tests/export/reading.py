"""What tests do with an export: run it to its end, and read its files."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from fhirstore import ExportManifest, ExportRequest, ExportStatus, FhirStore, TenantStore
from fhirstore.commit.limits import Limits

HURRIED = Limits(window=500, transaction_window=600, apply=50)
"""Limits under which a snapshot is settled within a second."""


@asynccontextmanager
async def worker(store: FhirStore) -> AsyncIterator[None]:
    """A worker in this process."""
    stop = asyncio.Event()
    task = asyncio.create_task(store.worker(poll=0.1, at_once=8, say=lambda _: None).run(stop))
    try:
        yield
    finally:
        stop.set()
        await task


async def ended(clinic: TenantStore, id: str, *, within: float = 60.0) -> ExportStatus:
    """The status of an export that has ended."""
    async with asyncio.timeout(within):
        while True:
            status = await clinic.exports.status(id)
            if status.status in ("completed", "failed"):
                return status
            await asyncio.sleep(0.05)


async def exported(store: FhirStore, request: ExportRequest, *, tenant: str = "default") -> tuple[str, ExportManifest]:
    """The id and the manifest of an export, which must succeed."""
    clinic = store.tenant(tenant)
    async with worker(store):
        started = await clinic.exports.start(request)
        status = await ended(clinic, started.id)
    assert status.manifest is not None, status.failure
    return started.id, status.manifest


async def lines(clinic: TenantStore, id: str, name: str) -> list[bytes]:
    """The lines of a file."""
    body = b""
    async with clinic.exports.open_file(id, name) as stream:
        async for chunk in stream:
            body += chunk
    assert body.endswith(b"\n")
    return body[:-1].split(b"\n")


async def output(clinic: TenantStore, id: str, manifest: ExportManifest) -> Counter[bytes]:
    """How often each line is in the output. The manifest's facts are checked."""
    found: Counter[bytes] = Counter()
    for file in manifest.output:
        there = await lines(clinic, id, file.name)
        assert len(there) == file.count
        assert sum(map(len, there)) + len(there) == file.size
        found.update(there)
    return found


async def deletions(clinic: TenantStore, id: str, manifest: ExportManifest) -> Counter[str]:
    """How often each resource is among the deleted."""
    found: Counter[str] = Counter()
    for file in manifest.deleted:
        for line in await lines(clinic, id, file.name):
            bundle = msgspec.json.decode(line)
            assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "transaction")
            for entry in bundle["entry"]:
                assert entry["request"]["method"] == "DELETE"
                found[entry["request"]["url"]] += 1
    return found


async def outcomes(clinic: TenantStore, id: str, manifest: ExportManifest) -> list[dict[str, str]]:
    """The issues in the error files."""
    found: list[dict[str, str]] = []
    for file in manifest.error:
        for line in await lines(clinic, id, file.name):
            found += msgspec.json.decode(line)["issue"]
    return found


async def exported_ids(store: FhirStore, *requests: ExportRequest) -> list[list[str]]:
    """`Type/id` of all resources in the output, sorted, of exports that are made at once."""
    clinic = store.tenant("default")
    started = [(await clinic.exports.start(request)).id for request in requests]
    found: list[list[str]] = []
    async with worker(store):
        for id_ in started:
            status = await ended(clinic, id_)
            assert status.manifest is not None, status.failure
            resources = [msgspec.json.decode(line) for line in (await output(clinic, id_, status.manifest)).elements()]
            found.append(sorted(f"{resource['resourceType']}/{resource['id']}" for resource in resources))
    return found
