"""What an export holds in memory is bounded in bytes, and not by the number of resources alone."""

from __future__ import annotations

import asyncio

import pytest

from fhirstore import ExportOptions, ExportRequest, FhirStore
from fhirstore.objects.base import StoredObject
from fhirstore.objects.memory import MemoryStore
from fhirstore.tenancy import PrefixTenancy
from tests.export.reading import HURRIED, exported, output

_LARGE = 3 * 1024 * 1024
_MOST = 16 * 1024 * 1024  # bytes of resources that are read at a time


class Weighing(MemoryStore):
    """Knows the most bytes of resources, and the most resources, whose GETs were under way at a time."""

    def __init__(self) -> None:
        super().__init__()
        self._under_way: list[int] = []
        self.most_bytes = self.most = 0

    async def get(self, key: str) -> StoredObject:
        found = await super().get(key)
        if "/resources/" not in key:
            return found
        self._under_way.append(len(found.body))
        self.most_bytes = max(self.most_bytes, sum(self._under_way))
        self.most = max(self.most, len(self._under_way))
        await asyncio.sleep(0.005)
        self._under_way.remove(len(found.body))
        return found


@pytest.mark.parametrize("organize_by", [None, "Patient"])
async def test_few_large_resources_are_read_at_a_time(organize_by: str | None) -> None:
    """Also of the first of a type, when their size is not known yet; and when the blocks of patients are written."""
    objects = Weighing()
    store = FhirStore(PrefixTenancy(objects, None), limits=HURRIED)
    clinic = store.tenant("default")
    await clinic.update({"resourceType": "Patient", "id": "p"})
    for n in range(12):
        note = [{"text": "x" * 1_000_000}] * 3
        subject = {"reference": "Patient/p"}
        await clinic.update({"resourceType": "CarePlan", "id": f"c{n}", "status": "active", "intent": "plan",
                             "subject": subject, "note": note})  # fmt: skip
    objects.most_bytes = objects.most = 0
    request = ExportRequest(level="patient", types=["CarePlan"], organize_by=organize_by)
    id_, manifest = await exported(store, request)
    assert sum((await output(clinic, id_, manifest)).values()) == (13 if organize_by else 12)
    assert _LARGE < objects.most_bytes <= _MOST
    await store.settle()


async def test_many_small_resources_are_read_at_a_time() -> None:
    """As many as `ExportOptions.concurrency` says."""
    objects = Weighing()
    store = FhirStore(PrefixTenancy(objects, None), limits=HURRIED)
    for n in range(60):
        await store.tenant("default").update({"resourceType": "Patient", "id": f"p{n}"})
    objects.most = 0
    await exported(store, ExportRequest(types=["Patient"]))
    assert objects.most == ExportOptions().concurrency
    await store.settle()
