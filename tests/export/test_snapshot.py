"""The version that is visible at a time is found, however many versions came after it."""

from __future__ import annotations

import pytest

from fhirstore import FhirStore
from fhirstore.commit.drive import drive
from fhirstore.export.snapshot import Damaged, versions_at
from fhirstore.format.record import Record
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.metered import MeteredStore
from fhirstore.tenancy import PrefixTenancy

_VERSIONS = 300


async def _versions(store: FhirStore) -> list[int]:
    """The times of many versions of one resource."""
    clinic = store.tenant("default")
    times: list[int] = []
    for number in range(_VERSIONS):
        version = await clinic.update({"resourceType": "Patient", "id": "a", "language": f"x-{number}"})
        times.append(version.last_updated_ms)
    return times


async def test_the_version_at_any_time_is_found_with_few_requests() -> None:
    """1 GET for the newest, 1 more for the one before, some dozens for the oldest of hundreds."""
    objects = MeteredStore(MemoryStore())
    store = FhirStore(PrefixTenancy(objects, None))
    times = await _versions(store)
    clinic = store.tenant("default")
    keys, limits = clinic._place.keys.resource("Patient", "a"), clinic._engine.limits
    for number, t in enumerate(times):
        for at, version in ((t, number + 1), (t - 1, number)):
            with objects.measure() as measured:
                (seen,) = await drive(versions_at([keys], at, limits=limits), objects)
            if version:
                assert isinstance(seen, Record)
                assert seen.version == version
            else:
                assert seen is None
            most = 1 if version == _VERSIONS else 3 if version == _VERSIONS - 1 else 45
            assert measured.requests["GET"] <= most


@pytest.mark.parametrize("name", ["current.json", "_history/2.json"])
async def test_a_damaged_object_is_told_by_its_key(name: str) -> None:
    """Whether it is the current version, or the one that was visible."""
    store = FhirStore(PrefixTenancy(MemoryStore(), None))
    times = (await _versions(store))[:3]
    clinic = store.tenant("default")
    keys = clinic._place.keys.resource("Patient", "a")
    await clinic._place.objects.put(f"default/resources/Patient/a/{name}", b"damaged")
    found = await drive(versions_at([keys], times[1], limits=clinic._engine.limits), clinic._place.objects)
    assert found == [Damaged(f"default/resources/Patient/a/{name}")]
