"""One pass of the sweeper over a tenant, from its watermark to the time before which every attempt's window is over.

| step | requests |
|---|---|
| claim | 1 GET + 1 PUT |
| walk | 1 LIST for the types, 1 LIST per folder and 1,000 events |
| per event | 1 GET of current (one per resource of a batch), 1 GET of a version unless it is current |
| per orphan | see `removal` |
| transactions | see `transactions` |
| checkpoint | 1 PUT at each third of the lease, 1 PUT at the end |

The watermark only goes forward, by compare-and-set, and only over events that were checked. A sweeper that lost its
lease stops; until it notices, it does nothing that harms a second sweeper. An event whose resource has a damaged
`current` stops the watermark until fsck has repaired it; later events are still cleaned up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from fhirstore.batched import batched
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Protocol
from fhirstore.commit.side_by_side import side_by_side
from fhirstore.errors import Contention, CorruptRecord
from fhirstore.format.keyspace import Event, Keyspace, ResourceKeys
from fhirstore.history.watermark import WATERMARK, watermark_of
from fhirstore.jobs.lease import LeaseLost, checkpoint, claim, end
from fhirstore.jobs.state import RELEASE, State
from fhirstore.upkeep.sweep.event_status import EventStatus, statuses_of
from fhirstore.upkeep.sweep.jobs import sweep_jobs
from fhirstore.upkeep.sweep.removal import remove_orphan
from fhirstore.upkeep.sweep.transactions import clear_old, remove_transactions
from fhirstore.upkeep.sweep.walk import EventWalk, Window


@dataclass(frozen=True, slots=True)
class Pace:
    """`margin`: ms added to the time after which attempts are settled; `lease`: ms; `page`: keys per LIST; `at_once`:
    events whose objects are read in parallel."""

    margin: int = 1_000
    lease: int = 30_000
    page: int = 1_000
    at_once: int = 16


@dataclass(frozen=True, slots=True)
class SweepReport:
    """One pass. `outcome`: swept; held (another sweeper is working); lost (another one took its lease);
    stopped (the caller asked for that).

    `watermark`: epoch ms. `checked`, `orphans`: events. `slots`: orphan slots removed. `unclear`: events that cannot be
    judged until fsck has checked their resource. `left`: orphans left for the next pass. `strays`: keys that are not
    events. `transactions`: decisions removed. `jobs`: jobs that were tidied or removed, and remains of such.
    `run_files`: files removed that no run was sealed with. `uploads`: multipart uploads aborted. `payloads`: objects
    removed whose content nothing refers to. `transfers`: direct uploads that expired, and records of old ones.
    `assertions`: records removed of clients' assertions that have expired. `index_copies`: objects removed of old
    copies of the search index.
    """

    outcome: str
    watermark: int
    checked: int = 0
    orphans: int = 0
    slots: int = 0
    unclear: int = 0
    left: int = 0
    strays: int = 0
    transactions: int = 0
    jobs: int = 0
    run_files: int = 0
    uploads: int = 0
    payloads: int = 0
    transfers: int = 0
    assertions: int = 0
    index_copies: int = 0

    def as_json(self) -> dict[str, object]:
        """The report as plain JSON values."""
        return asdict(self)


@dataclass(slots=True)
class _Tally:
    checked: int = 0
    orphans: int = 0
    slots: int = 0
    unclear: int = 0
    left: int = 0
    strays: int = 0
    transactions: int = 0
    jobs: int = 0

    def report(self, outcome: str, watermark: int) -> SweepReport:
        return SweepReport(
            outcome,
            watermark,
            self.checked,
            self.orphans,
            self.slots,
            self.unclear,
            self.left,
            self.strays,
            self.transactions,
            self.jobs,
        )


def sweep(
    keys: Keyspace, *, context: Context, pace: Pace | None = None, stopping: Callable[[], bool] = lambda: False
) -> Protocol[SweepReport]:
    """Do one pass. Raises Unavailable, CorruptRecord (sweep state); the next pass continues where this one was.

    `stopping`: asked after each batch of events; when it says so, the lease is handed back and the pass ends.
    """
    pace = pace or Pace()
    got = yield from claim(keys.sweep_state, context.ids.new(), context=context, length=pace.lease)
    if isinstance(got, State):
        return SweepReport("held", watermark_of(got))
    lease, date = got
    mark = watermark_of(lease.state)
    tally = _Tally()
    try:
        horizon = max(mark, date - context.limits.settled - pace.margin)
        walk = EventWalk(keys, since=mark, until=horizon, page=pace.page)
        blocked = False
        while (window := (yield from walk.next_window())) is not None:
            for events in batched(list(window.events), pace.at_once):
                blocked |= yield from _sweep_events(keys, events, tally, context)
                if lease.due(context.now()):
                    lease = yield from checkpoint(lease, context=context, work=_work(mark))
                if stopping():
                    yield from end(lease, RELEASE, work=_work(mark))
                    return tally.report("stopped", mark)
            mark = _advanced(mark, window, blocked)
        tally.strays = len(walk.strays)
        tally.transactions = yield from remove_transactions(keys, date, context=context, page=pace.page)
        tally.jobs = yield from sweep_jobs(keys, date, context=context, page=pace.page)
        yield from end(lease, RELEASE, work=_work(mark))
    except LeaseLost:
        return tally.report("lost", mark)
    return tally.report("swept", mark)


def _sweep_events(keys: Keyspace, events: Sequence[Event], tally: _Tally, context: Context) -> Protocol[bool]:
    """Check the events, remove the orphans, clear old intents. Returns whether the watermark must not pass them."""
    intents: set[ResourceKeys] = set()
    found = yield from statuses_of(keys, events, intents=intents)
    tally.checked += len(events)
    orphans = [event for event, status in zip(events, found, strict=True) if status in _REMOVED]
    unclear = [status for status in found if status in _UNCLEAR]
    tally.unclear += len(unclear)
    left = 0
    for gone in (yield from side_by_side([_remove(keys, event, tally, context) for event in orphans])):
        left += not gone
    tally.left += left
    resources = sorted(intents, key=lambda resource: resource.current)
    yield from side_by_side([clear_old(resource, context=context) for resource in resources])
    return left > 0 or EventStatus.NO_CURRENT in unclear


_REMOVED = (EventStatus.ORPHAN, EventStatus.OVERTAKEN, EventStatus.PURGED)
_UNCLEAR = (EventStatus.NO_CURRENT, EventStatus.NO_VERSION)


def _remove(keys: Keyspace, event: Event, tally: _Tally, context: Context) -> Protocol[bool]:
    try:
        result = yield from remove_orphan(keys, event, context=context)
    except (Contention, CorruptRecord):
        return False
    tally.slots += result.slot
    tally.orphans += result.events
    return result.events


def _advanced(mark: int, window: Window, blocked: bool) -> int:
    return mark if blocked else max(mark, window.through)


def _work(watermark: int) -> Mapping[str, object]:
    return {WATERMARK: watermark}
