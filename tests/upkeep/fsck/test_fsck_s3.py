"""Sweep, fsck and purge on a real S3 server: tree-order listings, signed windows, dates in whole seconds."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from conformance.s3servers import S3Server
from fhirstore.commit.drive import drive
from fhirstore.commit.limits import Limits
from fhirstore.commit.purge import Purged, purge
from fhirstore.commit.single import write
from fhirstore.objects import S3Options, open_objects
from fhirstore.upkeep.fsck.run import Thoroughness, fsck
from fhirstore.upkeep.sweep.run import Pace, sweep
from tests.upkeep.sweep.attempts import KEYS, basic, context, die, keys_of

LIMITS = Limits(window=2_000, apply=1_000, transaction_window=2_000)


async def test_the_sweeper_and_fsck_keep_their_promises_on_s3(
    seaweedfs: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Orphans go, versions stay, damage is repaired, a purge leaves a stub and audit lines."""
    seaweedfs.use(monkeypatch)
    options = S3Options(endpoint_url=seaweedfs.endpoint_url, allow_http=True)
    store = await open_objects(seaweedfs.location(), s3=options)
    try:
        await store.check()
        ctx = replace(context(store), limits=LIMITS)
        for id_ in ("a", "a-b", "a.b", "a", "z"):
            keys = KEYS.resource("Patient", id_)
            await drive(write(keys, basic(keys), context=ctx), store)
        for id_ in ("a", "new"):
            await die(store, id_, type="Patient", limits=LIMITS)
        await asyncio.sleep(LIMITS.settled / 1000 + 1.5)
        dry = await drive(fsck(KEYS, context=ctx, how=Thoroughness(deep=True)), store)
        assert dry.counts == {"orphan-slot": 2, "orphan-event": 2}
        swept = await drive(sweep(KEYS, context=ctx, pace=Pace(margin=100)), store)
        assert (swept.outcome, swept.orphans, swept.slots) == ("swept", 2, 2)
        lost = (await keys_of(store, "t/history/system/"))[0]
        await store.delete_many([lost, KEYS.resource("Patient", "z").version(1)])
        repaired = await drive(fsck(KEYS, context=ctx, how=Thoroughness(repair=True)), store)
        assert repaired.counts == {"system-event-missing": 1, "version-missing": 1}
        assert repaired.repaired == 2
        clean = await drive(fsck(KEYS, context=ctx, how=Thoroughness(deep=True)), store)
        assert (clean.counts, clean.versions) == ({}, 5)
        assert await drive(purge(KEYS.resource("Patient", "a"), by="x", context=ctx), store) == Purged(2, 2)
        clean = await drive(fsck(KEYS, context=ctx, how=Thoroughness(deep=True)), store)
        assert (clean.counts, clean.versions) == ({}, 3)
    finally:
        await store.aclose()
