"""What transactions leave behind, and what can happen to their records: further cases of damage."""

from __future__ import annotations

from fhirstore.commit.transaction import Transacted
from fhirstore.format.decision import COMMITTED, Decision
from fhirstore.objects.base import ObjectStore
from tests.commit.bundling import committed, die_before_record
from tests.commit.hurried import HandClock
from tests.upkeep.fsck.damage import KEY, SINGLE, Case
from tests.upkeep.sweep.attempts import KEYS, SETTLED, basic, context

RESOURCES = (KEY, SINGLE)


async def undecided(store: ObjectStore, clock: HandClock) -> dict[str, str]:
    """A transaction that died just before its record; its time is over."""
    await die_before_record(store, [(keys, basic(keys)) for keys in RESOURCES], context(store))
    clock.ms += SETTLED
    return {"stuck-intent": KEY.current, "orphan-slot": KEY.version(4), "orphan-event": ""}


async def not_final(store: ObjectStore, clock: HandClock) -> dict[str, str]:
    """A transaction that died just after its record."""
    await commit_only(store)
    clock.ms += SETTLED
    return {"stuck-intent": SINGLE.current}


async def commit_only(store: ObjectStore) -> Transacted:
    """Commit over both resources, and leave it at that."""
    return await committed(store, [(keys, basic(keys)) for keys in RESOURCES], context(store))


async def _corrupt(store: ObjectStore, _: HandClock) -> dict[str, str]:
    await store.put(KEYS.transaction("01X"), b"{")
    return {"transaction-corrupt": KEYS.transaction("01X")}


async def _torn(store: ObjectStore, clock: HandClock) -> dict[str, str]:
    parts = (("Basic", "a", 3), ("Basic", "single", 7))
    await store.put(KEYS.transaction("01X"), Decision(COMMITTED, clock.ms, "1", parts).encode())
    return {"transaction-torn": KEYS.transaction("01X")}


async def _stray(store: ObjectStore, _: HandClock) -> dict[str, str]:
    await store.put(KEYS.transactions() + "x/y.json", b"")
    return {"stray-key": KEYS.transactions() + "x/y.json"}


TRANSACTION_CASES = (
    Case("transaction undecided", undecided, repairable=True),
    Case("transaction not final", not_final, repairable=True),
    Case("record of a transaction corrupt", _corrupt, repairable=False),
    Case("record of a transaction torn", _torn, repairable=False),
    Case("stray below tx", _stray, repairable=False),
)
