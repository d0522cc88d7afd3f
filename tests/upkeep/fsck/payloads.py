"""Damage to payloads, each kind as a case of test_fsck."""

from __future__ import annotations

from fhirstore import FhirStore, Version
from fhirstore.commit.limits import Limits
from fhirstore.objects.base import ObjectStore
from fhirstore.tenancy import PrefixTenancy
from tests.commit.hurried import HandClock
from tests.upkeep.fsck.damage import Case
from tests.upkeep.sweep.attempts import KEYS
from tests.uploads.contents import BINARY, LONG, pieces


async def stored(store: ObjectStore, content: bytes = LONG) -> Version:
    """A Binary with its content outside, beside others."""
    tenant = FhirStore(PrefixTenancy(store, None)).tenant("t")
    made = await tenant.create_binary(BINARY, await tenant.payloads.receive(pieces(content)))
    await tenant.create_binary(BINARY, await tenant.payloads.receive(pieces(content[1:])))
    await tenant.payloads.receive(pieces(content[2:]))
    return made


def _object(version: Version) -> str:
    assert version.payload is not None
    return KEYS.prefix + version.payload.object


def _entry(version: Version) -> str:
    assert version.payload is not None
    return KEYS.payload_entry(version.payload.sha256)


async def _reference(store: ObjectStore, version: Version) -> str:
    assert version.payload is not None
    (item,) = (await store.list(KEYS.references(version.payload.sha256))).objects
    return item.key


async def _missing(store: ObjectStore, _: HandClock) -> dict[str, str]:
    key = _object(await stored(store))
    await store.delete(key)
    return {"payload-missing": key}


async def _size(store: ObjectStore, _: HandClock) -> dict[str, str]:
    key = _object(await stored(store))
    await store.put(key, LONG[1:])
    return {"payload-size": key}


async def _hash(store: ObjectStore, _: HandClock) -> dict[str, str]:
    key = _object(await stored(store))
    await store.put(key, LONG[::-1])
    return {"payload-hash": key}


async def _no_entry(store: ObjectStore, _: HandClock) -> dict[str, str]:
    made = await stored(store)
    await store.delete(_entry(made))
    return {"payload-unnamed": KEYS.resource("Binary", made.id).version(1)}


async def _entry_corrupt(store: ObjectStore, _: HandClock) -> dict[str, str]:
    key = _entry(await stored(store))
    await store.put(key, b"{}")
    return {"payload-entry": key}


async def _no_reference(store: ObjectStore, _: HandClock) -> dict[str, str]:
    key = await _reference(store, await stored(store))
    await store.delete(key)
    return {"reference-missing": key}


async def _stray(store: ObjectStore, _: HandClock) -> dict[str, str]:
    await stored(store)
    await store.put("t/binary/x", b"")
    return {"stray-key": "t/binary/x"}


async def _leftover(store: ObjectStore, clock: HandClock) -> dict[str, str]:
    made = await stored(store)
    key = _object(made)[:-1] + ("0" if _object(made)[-1] != "0" else "1")
    await store.put(key, b"of nobody")
    clock.ms += 2 * Limits().unused + 60_000
    return {"payload-leftover": key}


PAYLOAD_CASES = (
    Case("content missing", _missing, repairable=False),
    Case("content of another size", _size, repairable=False),
    Case("content of other bytes", _hash, repairable=False, deep=True),
    Case("content without its entry", _no_entry, repairable=False),
    Case("entry of a content corrupt", _entry_corrupt, repairable=False),
    Case("reference to a content missing", _no_reference, repairable=True),
    Case("stray below binary", _stray, repairable=False),
    Case("content that no entry names", _leftover, repairable=True),
)
