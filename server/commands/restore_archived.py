"""`fhirstore restore REFERENCE…`: asks the bucket to bring versions back from its archive, and says when they come."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from fhirstore import FhirStore, bucket_locations
from fhirstore.errors import FhirStoreError, NotFound, ObjectNotFound, RequestRefused, StoreMisconfigured
from fhirstore.objects import ArchiveState, Bucket, Tier, open_bucket
from server.commands.each_tenant import FAILED
from server.commands.progress_lines import ProgressLines
from server.process.deployment import open_store
from server.settings import Settings

TIERS: Mapping[str, Tier] = {"Bulk": "Bulk", "Standard": "Standard", "Expedited": "Expedited"}
HOURS = {
    ("GLACIER", "Expedited"): (1 / 60, 5 / 60),
    ("GLACIER", "Standard"): (3, 5),
    ("GLACIER", "Bulk"): (5, 12),
    ("DEEP_ARCHIVE", "Standard"): (9, 12),
    ("DEEP_ARCHIVE", "Bulk"): (40, 48),
}
"""How long a restoration takes, by storage class and tier, in hours: least and most.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/restoring-objects-retrieval-options.html
"""

_AT_ONCE = 16
_LOOK = (5.0, 300.0)  # seconds between two looks: at first, and at most
_LATE = 1.5  # times the longest usual time, after which --wait gives up
_REFERENCE = re.compile(r"([A-Z][A-Za-z]+)/([A-Za-z0-9.-]{1,64})(?:/_history/([1-9]\d{0,8}))?")


@dataclass(frozen=True, slots=True)
class Order:
    """`references`: `Type/id` or `Type/id/_history/n`. `days`: how long the copies stay."""

    references: tuple[str, ...]
    tenant: str
    days: int
    tier: Tier
    wait: bool


@dataclass(slots=True)
class Item:
    """One version. `state`: as seen last. `problem`: why nothing was asked for it; "" without one."""

    name: str
    key: str
    state: ArchiveState | None = None
    asked: bool = False
    problem: str = ""

    @property
    def status(self) -> str:
        """What became of it, in a word or two."""
        if self.problem or self.state is None:
            return "failed"
        if not self.state.archived:
            return "restored" if self.state.until else "not archived"
        return "asked for" if self.asked else "under way"


@dataclass(slots=True)
class Restoration:
    """All versions of an order."""

    order: Order
    items: list[Item] = field(default_factory=list)

    @property
    def away(self) -> list[Item]:
        """Those that cannot be read yet."""
        return [item for item in self.items if not item.problem and item.state is not None and item.state.archived]

    def hours(self) -> tuple[float, float] | None:
        """Returns how long what is away takes: least and most; None: nothing is away, or it is not known."""
        known = [
            HOURS[item.state.storage_class, self.order.tier]
            for item in self.away
            if item.state is not None and (item.state.storage_class, self.order.tier) in HOURS
        ]
        return (min(least for least, _ in known), max(most for _, most in known)) if known else None

    def line(self) -> str:
        """Returns one line for a log."""
        return f"{len(self.items) - len(self.away):,} of {len(self.items):,} versions can be read"


def run_restore(settings: Settings, order: Order, *, as_json: bool, progress_every: float) -> int:
    """Asks and reports. Returns 0: all was asked for, or is there; 1: something failed, or did not come; 2: could not.

    With `wait`, it returns when all can be read, or half as much time again as it usually takes is over.
    """
    try:
        done = asyncio.run(_restore(settings, order, progress_every))
    except FhirStoreError as error:
        sys.stderr.write(f"fhirstore: {error}\n")
        return FAILED
    if as_json:
        sys.stdout.write(json.dumps(_as_json(done), indent=2) + "\n")
    else:
        _show(done)
    return 1 if any(item.problem for item in done.items) or (order.wait and done.away) else 0


async def _restore(settings: Settings, order: Order, progress_every: float) -> Restoration:
    tenant, location = order.tenant, settings.store
    if settings.tenant_buckets:
        if tenant not in settings.tenant_buckets:
            raise StoreMisconfigured(detail=f"no tenant {tenant!r} here (FHIRSTORE_TENANT_BUCKETS)")
        location = bucket_locations(settings.store, {tenant: settings.tenant_buckets[tenant]})[tenant]
    done = Restoration(order)
    async with open_bucket(location, s3=settings.s3) as bucket:
        async with open_store(settings) as store:
            for reference in order.references:
                done.items += await _versions(store, tenant, reference)
        await _each(done.items, bucket, order)
        if order.wait:
            await _wait(done, bucket, progress_every)
    return done


async def _versions(store: FhirStore, tenant: str, reference: str) -> list[Item]:
    """Returns the versions that a reference names. Raises StoreMisconfigured for one that is none, UnknownType."""
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise StoreMisconfigured(detail=f"{reference!r} is not of the form Type/id or Type/id/_history/version")
    type_, id_, number = match.groups()
    try:
        keys = await store.tenant(tenant).upkeep.version_keys(type_, id_)
    except NotFound:
        return [Item(reference, "", problem="there is no such resource")]
    if number is None:
        return [Item(f"{type_}/{id_}/_history/{version}", key) for version, key in keys.items()]
    key = keys.get(int(number))
    return [Item(reference, key) if key else Item(reference, "", problem="there is no such version")]


async def _each(items: Sequence[Item], bucket: Bucket, order: Order) -> None:
    """Looks at all items, and asks for those that are away and were not asked for. 16 at once."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(item: Item) -> None:
        async with gate:
            try:
                item.state = await bucket.archive_state(item.key)
                if item.state.archived and not item.state.returning:
                    await bucket.restore(item.key, days=order.days, tier=order.tier)
                    item.asked = True
            except ObjectNotFound:
                item.problem = "its object is not there; run fhirstore fsck"
            except RequestRefused as error:
                item.problem = error.detail

    await asyncio.gather(*[one(item) for item in items if not item.problem])


async def _wait(done: Restoration, bucket: Bucket, progress_every: float) -> None:
    """Looks again, more and more rarely, until all can be read or it has taken too long."""
    hours = done.hours()
    until = time.monotonic() + 3600 * _LATE * (hours[1] if hours else max(most for _, most in HOURS.values()))
    pause, longest = _LOOK
    lines = ProgressLines(done.line, every=progress_every)
    async with lines.ticking():
        while done.away and time.monotonic() < until:
            await asyncio.sleep(min(pause, max(0.0, until - time.monotonic())))
            pause = min(pause * 1.5, longest)
            for item in done.away:
                item.state = await bucket.archive_state(item.key)


def _show(done: Restoration) -> None:
    table = Table("version", "storage class", "status", "readable until", box=None)
    for item in done.items:
        class_, until = (item.state.storage_class, item.state.until) if item.state else ("", "")
        table.add_row(item.name, class_, item.problem or item.status, until)
    console = Console(soft_wrap=True)
    console.print(table)
    if done.away:
        hours = done.hours()
        when = f"in {_time(hours[0])} to {_time(hours[1])}" if hours else "in a time that is not known"
        console.print(f"{len(done.away)} can be read {when}, for {done.order.days} days; run the same command to look")


def _time(hours: float) -> str:
    return f"{hours:g} h" if hours >= 1 else f"{hours * 60:.0f} min"


def _as_json(done: Restoration) -> dict[str, object]:
    hours = done.hours()
    return {
        "tier": done.order.tier,
        "days": done.order.days,
        "hours": None if hours is None else {"least": hours[0], "most": hours[1]},
        "versions": [
            {
                "version": item.name,
                "storageClass": item.state.storage_class if item.state else None,
                "status": item.status,
                "readable": item.state is not None and not item.state.archived,
                "until": (item.state.until if item.state else "") or None,
                "problem": item.problem or None,
            }
            for item in done.items
        ],
    }
