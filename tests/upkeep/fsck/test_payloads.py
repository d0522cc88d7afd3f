"""A14: fsck checks that the content of every version is there, as it was written."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from fhirstore import FhirStore, Version
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
Damage = Callable[[MemoryStore, Version], Awaitable[None]]


async def _fsck(objects: MemoryStore, clock: HandClock, how: Thoroughness | None = None) -> FsckReport:
    return await hurry(fsck(CLINIC, context=context(objects), how=how), objects, clock)


def _object(version: Version) -> str:
    assert version.payload is not None
    return f"clinic/{version.payload.object}"


def _reference(objects: MemoryStore, version: Version) -> str:
    assert version.payload is not None
    (name,) = [key for key in objects._objects if f"/{version.payload.sha256}/refs/" in key]
    return name


def _entry(version: Version) -> str:
    assert version.payload is not None
    return CLINIC.payload_entry(version.payload.sha256)


DAMAGES: dict[str, tuple[Damage, bool, set[str]]] = {
    "lost": (lambda objects, made: objects.delete(_object(made)), False, {"payload-missing"}),
    "cut": (lambda objects, made: _put(objects, _object(made), LONG[1:]), False, {"payload-size"}),
    "changed": (lambda objects, made: _put(objects, _object(made), LONG[::-1]), True, {"payload-hash"}),
    "without its entry": (lambda objects, made: objects.delete(_entry(made)), False, {"payload-unnamed"}),
    "unreadable entry": (lambda objects, made: _put(objects, _entry(made), b"{}"), False, {"payload-entry"}),
    "without its reference": (
        lambda objects, made: objects.delete(_reference(objects, made)),
        False,
        {"reference-missing"},
    ),
    "strange key": (lambda objects, made: _put(objects, "clinic/binary/x", b""), False, {"stray-key"}),
}


async def _put(objects: MemoryStore, key: str, body: bytes) -> None:
    await objects.put(key, body)


@pytest.mark.parametrize("name", DAMAGES)
async def test_damage_to_a_payload_is_found(name: str) -> None:
    """Each kind, and nothing else; healthy payloads are none, whatever was deep."""
    damage, deep, kinds = DAMAGES[name]
    clock = HandClock()
    objects = MemoryStore(clock)
    clinic = FhirStore(PrefixTenancy(objects, None)).tenant("clinic")
    made = await clinic.create_binary(BINARY, await clinic.payloads.receive(pieces(LONG)))
    await clinic.create_binary(BINARY, await clinic.payloads.receive(pieces(LONG[1:])))
    await clinic.payloads.receive(pieces(LONG[2:]))
    assert (await _fsck(objects, clock, Thoroughness(deep=True, page=2))).counts == {}
    await damage(objects, made)
    if deep:
        assert (await _fsck(objects, clock)).counts == {}
    assert set((await _fsck(objects, clock, Thoroughness(deep=deep))).counts) == kinds


async def test_a_reference_and_an_event_are_written_again() -> None:
    """As they were: the event with the hash in it."""
    clock = HandClock()
    objects = MemoryStore(clock)
    clinic = FhirStore(PrefixTenancy(objects, None)).tenant("clinic")
    made = await clinic.create_binary(BINARY, await clinic.payloads.receive(pieces(LONG)))
    before = {key: kept.body for key, kept in objects._objects.items()}
    (event,) = [key for key in before if key.startswith("clinic/history/type/")]
    await objects.delete(_reference(objects, made))
    await objects.delete(event)
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
