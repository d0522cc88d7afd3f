"""Damage to what the server's token endpoint stores: further cases of damage."""

from __future__ import annotations

from fhirstore.objects.base import ObjectStore
from tests.commit.hurried import HandClock
from tests.upkeep.fsck.damage import Case
from tests.upkeep.sweep.attempts import KEYS


async def _client(store: ObjectStore, _: HandClock) -> dict[str, str]:
    key = KEYS.client("clinic.etl")
    await store.put(key, b'{"client": {}}')
    return {"credentials": key}


async def _keys(store: ObjectStore, _: HandClock) -> dict[str, str]:
    await store.put(KEYS.signing_keys, b"{")
    return {"credentials": KEYS.signing_keys}


async def _moved(store: ObjectStore, _: HandClock) -> dict[str, str]:
    key = KEYS.client("clinic.other")
    await store.put(
        key,
        b'{"client": {"id": "clinic.etl", "tenant": "clinic", "scopes": []}, "write": "w", "format": 1}',
    )
    return {"credentials": key}


async def _stray(store: ObjectStore, _: HandClock) -> dict[str, str]:
    key = f"{KEYS.access()}notes.txt"
    await store.put(key, b"")
    return {"stray-key": key}


CREDENTIAL_CASES = (
    Case("a client that is unreadable", _client, repairable=False),
    Case("signing keys that are unreadable", _keys, repairable=False),
    Case("a client at the key of another one", _moved, repairable=False),
    Case("a file among credentials", _stray, repairable=False),
)
