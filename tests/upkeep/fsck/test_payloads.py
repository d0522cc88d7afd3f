"""A14: fsck checks that the content of every version is there; the cases of damage are in `payloads`."""

from __future__ import annotations

import pytest

from fhirstore import FhirStore
from fhirstore.commit.limits import Limits
from fhirstore.format.keyspace import Keyspace
from fhirstore.objects.memory import MemoryStore
from fhirstore.tenancy import PrefixTenancy
from fhirstore.upkeep.fsck import payloads
from fhirstore.upkeep.fsck.run import FsckReport, Thoroughness, fsck
from tests.commit.hurried import HandClock, hurry
from tests.upkeep.sweep.attempts import context
from tests.uploads.contents import BINARY, LONG, keys_below, pieces

CLINIC = Keyspace.of_tenant("clinic")


async def _fsck(objects: MemoryStore, clock: HandClock, how: Thoroughness | None = None) -> FsckReport:
    return await hurry(fsck(CLINIC, context=context(objects), how=how), objects, clock)


async def test_what_a_hash_tells_only_a_deep_check_finds() -> None:
    """The size is the same."""
    clock = HandClock()
    objects = MemoryStore(clock)
    clinic = FhirStore(PrefixTenancy(objects, None)).tenant("clinic")
    payload = await clinic.payloads.receive(pieces(LONG))
    await clinic.create_binary(BINARY, payload)
    await objects.put(clinic.payloads.key(payload.object), LONG[::-1])
    assert (await _fsck(objects, clock)).counts == {}
    assert (await _fsck(objects, clock, Thoroughness(deep=True))).counts == {"payload-hash": 1}


async def test_an_event_is_written_again_with_the_hash_in_it() -> None:
    """And a reference: both are as they were."""
    clock = HandClock()
    objects = MemoryStore(clock)
    clinic = FhirStore(PrefixTenancy(objects, None)).tenant("clinic")
    await clinic.create_binary(BINARY, await clinic.payloads.receive(pieces(LONG)))
    before = {key: kept.body for key, kept in objects._objects.items()}
    for part in ("history/type/", "/refs/"):
        (key,) = [key for key in before if part in key]
        await objects.delete(key)
    clock.ms += Limits().settled + 1_000
    report = await _fsck(objects, clock, Thoroughness(repair=True))
    assert report.repaired == 2
    assert {key: kept.body for key, kept in objects._objects.items() if "/audit/" not in key} == before


async def test_an_object_that_no_entry_names_is_removed_when_it_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """In slices; those that are named stay."""
    monkeypatch.setattr(payloads, "SLICE", 2)
    clock = HandClock()
    objects = MemoryStore(clock)
    clinic = FhirStore(PrefixTenancy(objects, None)).tenant("clinic")
    for n in range(5):
        await clinic.create_binary(BINARY, await clinic.payloads.receive(pieces(LONG[n:])))
        await objects.put(clinic.payloads.key(clinic.payloads.new_object()), b"x")
    how = Thoroughness(repair=True, page=2)
    assert (await _fsck(objects, clock, how)).counts == {}
    clock.ms += 2 * Limits().unused + 60_000
    report = await _fsck(objects, clock, how)
    assert (report.counts, report.repaired) == ({"payload-leftover": 5}, 5)
    assert len(await keys_below(objects, "binary/payload/")) == 5
    assert (await _fsck(objects, clock, Thoroughness(deep=True))).counts == {}
