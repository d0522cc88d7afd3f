"""What an export asks of the store, exactly: 1 GET per resource, 1 LIST per page of ids, and little else."""

from __future__ import annotations

import asyncio

import pytest

from fhirstore import FhirStore
from fhirstore.commit.limits import Limits
from fhirstore.export.act import Acting
from fhirstore.export.export import Export, file_key
from fhirstore.export.manifest import ExportManifest
from fhirstore.export.progress import TaskProgress
from fhirstore.export.request import Plan
from fhirstore.export.steps import Note
from fhirstore.export.tasks import Bounds
from fhirstore.format.keyspace import JobKeys
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.metered import MeteredStore
from fhirstore.runs.files import WrittenFile
from fhirstore.tenancy import PrefixTenancy

_SETTLED_AT_ONCE = Limits(window=1, transaction_window=1, apply=0)


async def _export(objects: MeteredStore, store: FhirStore, plan: Plan, bounds: Bounds) -> ExportManifest:
    """The steps of an export, without the job around them."""
    place = store.tenancy.place("default")
    job = JobKeys("default/bulk/export/x/")
    progress: dict[str, TaskProgress] = {}

    async def load(task: str) -> TaskProgress:
        return progress.get(task, TaskProgress())

    async def save(task: str, saved: TaskProgress) -> None:
        progress[task] = saved

    async def note(_: Note) -> bool:
        return False

    async def wrote(_: WrittenFile) -> None:
        pass

    await asyncio.sleep(0.05)
    acting = Acting(objects, lambda name: file_key(job, name), load, save, note, wrote)
    export = Export(plan, place.keys, job, 1, store.definitions, _SETTLED_AT_ONCE, bounds)
    return await acting.take(export.run())


async def test_a_full_export_takes_one_get_per_resource() -> None:
    """However many versions it has; 250 ids take 3 LIST of 100; 1 PUT per file of up to 8 MiB, and the seal."""
    objects = MeteredStore(MemoryStore())
    store = FhirStore(PrefixTenancy(objects, None))
    clinic = store.tenant("default")
    for number in range(250):
        for _ in range(2):
            await clinic.update({"resourceType": "Patient", "id": f"p{number}"})
    plan = Plan(at=objects.now() + 5, types=("Patient",))
    bounds = Bounds(part_bytes=10_000_000, part_count=100, page_size=100)
    with objects.measure() as measured:
        manifest = await _export(objects, store, plan, bounds)
    assert [file.count for file in manifest.output] == [100, 100, 50]
    assert measured.requests == {"GET": 250 + 2, "LIST": 3, "PUT": 3 + 1}


@pytest.mark.parametrize("changed", [0, 20])
async def test_an_export_since_a_time_takes_one_get_per_change(changed: int) -> None:
    """Whatever else the store holds."""
    objects = MeteredStore(MemoryStore())
    store = FhirStore(PrefixTenancy(objects, None))
    clinic = store.tenant("default")
    for number in range(100):
        await clinic.update({"resourceType": "Patient", "id": f"p{number}"})
    since = (await clinic.read("Patient", "p99")).last_updated_ms
    await asyncio.sleep(0.005)
    for number in range(changed):
        await clinic.delete("Patient", f"p{number}")
    plan = Plan(at=objects.now() + 5, types=("Patient",), since=since)
    with objects.measure() as measured:
        manifest = await _export(objects, store, plan, Bounds(part_bytes=10_000_000, part_count=100))
    assert (manifest.output, len(manifest.deleted)) == ((), int(changed > 0))
    files = 1 if changed else 0
    assert measured.requests == {"GET": changed + 2, "LIST": 1, "PUT": files + 1}
