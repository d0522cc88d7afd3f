"""Checks events against versions: by the census first, then one by one in the buckets where it does not agree.

Only events older than `settled` count, because the status of their versions is final.

Cost: 1 LIST per folder and 1,000 events; where the census does not agree, those LISTs again, and 1 or 2 GET per event
of these buckets.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from functools import partial

from fhirstore.batched import batched
from fhirstore.commit.messages import Absent, Get, Protocol
from fhirstore.commit.reading import ask
from fhirstore.format.keyspace import Event, Keyspace
from fhirstore.upkeep.fsck.census import SYSTEM, TYPE, Census, bucket_of
from fhirstore.upkeep.fsck.finding import Finding, unreadable
from fhirstore.upkeep.fsck.unreadable import listed_behind_damage
from fhirstore.upkeep.sweep.event_status import EventStatus, statuses_of
from fhirstore.upkeep.sweep.walk import IN_SYSTEM, IN_TYPE, EventWalk, events_keys

_END = 10**13 - 1
_AT_ONCE = 16
_BELONGS_TO_NONE = (EventStatus.PURGED, EventStatus.OVERTAKEN, EventStatus.ORPHAN)


def take_census(keys: Keyspace, census: Census, *, page: int, seen: Callable[[int], None]) -> Protocol[list[Finding]]:
    """Add every event to the census. Returns findings for keys that are not events. Raises Unavailable."""
    lost: list[str] = []
    walk = EventWalk(keys, since=0, until=_END, page=page, lists=partial(listed_behind_damage, lost=lost))
    while (window := (yield from walk.next_window())) is not None:
        for event, where in window.events.items():
            if where & IN_SYSTEM:
                census.add(event, SYSTEM)
            if where & IN_TYPE:
                census.add(event, TYPE)
        seen(len(window.events))
    return [*(Finding("stray-key", key) for key in walk.strays), *unreadable(lost)]


def judge_events(
    keys: Keyspace,
    buckets: Container[int],
    *,
    before: int,
    watermark: int,
    page: int,
    take: Callable[[list[Finding]], Protocol[None]],
) -> Protocol[None]:
    """Give `take` the events of these buckets, older than `before`, that belong to no committed version."""
    walk = EventWalk(keys, since=0, until=before, page=page, lists=partial(listed_behind_damage, lost=[]))
    while (window := (yield from walk.next_window())) is not None:
        events = [event for event in window.events if bucket_of(event.type, event.id) in buckets]
        for some in batched(events, _AT_ONCE):
            found = yield from statuses_of(keys, some)
            findings: list[Finding] = []
            for event, status in zip(some, found, strict=True):
                findings += _finding(keys, event, status, where=window.events[event], watermark=watermark)
            yield from take(findings)


def still_there(keys: Keyspace, findings: Sequence[Finding]) -> Protocol[list[Finding]]:
    """Returns the findings whose event still exists and still belongs to no committed version. Reads a few at a
    time."""
    confirmed: list[Finding] = []
    for few in batched(findings, _AT_ONCE):
        some = [finding for finding in few if finding.event is not None]
        replies = yield from ask(*(Get(finding.key) for finding in some))
        found = yield from statuses_of(keys, [finding.event for finding in some if finding.event is not None])
        confirmed += [
            finding
            for finding, reply, status in zip(some, replies, found, strict=True)
            if not isinstance(reply, Absent) and status in _BELONGS_TO_NONE
        ]
    return confirmed


def _finding(keys: Keyspace, event: Event, status: EventStatus, *, where: int, watermark: int) -> list[Finding]:
    if status not in _BELONGS_TO_NONE:
        return []  # committed, or its resource is damaged, which is another finding
    detail, repairable = "", True
    if status is EventStatus.PURGED:
        kind = "purge-remnant"
    elif event.t >= watermark:
        kind = "orphan-event"
    else:
        kind = "orphan-below-watermark"
        if status is EventStatus.ORPHAN:  # the last trace of a lost version
            detail, repairable = "a sweeper let it pass, so its version was there once", False
    system, type_ = events_keys(keys, event)
    key = system if where & IN_SYSTEM else type_
    resource = keys.resource(event.type, event.id)
    return [Finding(kind, key, detail, repairable, resource=resource, version=event.version, event=event)]
