"""Damage to sealed runs, and what their writers leave: further cases of damage."""

from __future__ import annotations

from functools import partial

from fhirstore.commit.drive import drive
from fhirstore.commit.limits import Limits
from fhirstore.objects.base import ObjectStore
from fhirstore.runs.dataset import Runs
from fhirstore.runs.run import Run
from tests.commit.hurried import HandClock
from tests.upkeep.fsck.damage import Case
from tests.upkeep.sweep.attempts import KEYS, context

LATE = Limits().run + 120_000
"""Ms after which nothing can be sealed any more that is there now."""


def runs_of(store: ObjectStore) -> Runs:
    """A dataset of the tenant."""
    return Runs(store, KEYS, "labs", context=context(store), perform=partial(drive, store=store))


async def sealed(store: ObjectStore, run_id: str = "r") -> Run:
    """A run of two files."""
    async with runs_of(store).writer({"day": "1"}, run_id=run_id) as run:
        await run.write(b"one")
        async with run.file("two.csv") as file:
            await file.write(b"two\n")
        return await run.finalize()


async def _seal_corrupt(store: ObjectStore, _: HandClock) -> dict[str, str]:
    key = (await sealed(store)).key("two.csv").replace("two.csv", "metadata.json")
    await store.put(key, (await store.get(key)).body.replace(b'"labs"', b'"other"'))
    return {"run-seal": key}


async def _missing(store: ObjectStore, _: HandClock) -> dict[str, str]:
    run = await sealed(store)
    await store.delete(run.key())
    return {"run-file-missing": run.key()}


async def _size(store: ObjectStore, _: HandClock) -> dict[str, str]:
    run = await sealed(store)
    await store.put(run.key(), b"one\ntwo\n")
    return {"run-file-size": run.key()}


async def _hash(store: ObjectStore, _: HandClock) -> dict[str, str]:
    run = await sealed(store)
    await store.put(run.key("two.csv"), b"TWO\n")
    return {"run-file-hash": run.key("two.csv")}


async def _leftover(store: ObjectStore, clock: HandClock) -> dict[str, str]:
    key = (await sealed(store)).key().replace("payload", "payload.01X")
    await store.put(key, b"of a writer that died")
    clock.ms += LATE
    return {"run-leftover": key}


async def _deleted(store: ObjectStore, clock: HandClock) -> dict[str, str]:
    run = await sealed(store)
    await runs_of(store).delete({"day": "1"}, run_id="r")
    await store.put(run.key(), b"came late")
    clock.ms += LATE
    return {"run-leftover": run.key()}


async def _stray(store: ObjectStore, _: HandClock) -> dict[str, str]:
    key = (await sealed(store)).key().replace("run_id=", "no_run=")
    await store.put(key, b"")
    return {"stray-key": key}


RUN_CASES = (
    Case("seal of a run corrupt", _seal_corrupt, repairable=False),
    Case("file of a run missing", _missing, repairable=False),
    Case("file of a run of another size", _size, repairable=False),
    Case("file of a run of other bytes", _hash, repairable=False, deep=True),
    Case("file that no run was sealed with", _leftover, repairable=True),
    Case("file of a deleted run", _deleted, repairable=True),
    Case("stray below runs", _stray, repairable=False),
)
