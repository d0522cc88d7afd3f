"""The status of an event: was its version committed? Only for events whose attempt's window is over.

`current` is read first and the version object after it, because a slot is final once `current` has reached its version.
When an attempt's window is over, it can no longer commit a version above `current`. If `current` has an intent, the
decision of the transaction tells which version counts, as for every reader.

A dead attempt is at `current` + 1, with nothing above it. Anything else above `current` shows that `current` is damaged
(lost, or replaced by an old copy): then nothing there may be taken for an orphan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum

from fhirstore.commit.messages import Absent, Archived, Get, Protocol
from fhirstore.commit.reading import ask, ask_archive, seen
from fhirstore.commit.side_by_side import side_by_side
from fhirstore.errors import CorruptRecord
from fhirstore.format.keyspace import Event, Keyspace, ResourceKeys
from fhirstore.format.record import Record, decode
from fhirstore.objects.base import StoredObject


class EventStatus(Enum):
    """What happened to the attempt that wrote an event."""

    COMMITTED = "committed"
    ORPHAN = "orphan"  # never committed, and can never be: it is the next version, but its window is over
    OVERTAKEN = "overtaken"  # never committed: another attempt made this version
    PURGED = "purged"  # the version was purged, or another attempt at it was; the event must go in either case
    NO_VERSION = "no version"  # committed, but the version object is missing or damaged, so its attempt is unknown
    ARCHIVED = "archived"  # the version object is in an archive class; of its attempt, or of one that overtook it
    NO_CURRENT = "no current"  # `current` is damaged, missing or behind, so nothing is known


# These are read again: `current` may have been created, or the resource purged, between the two GETs.
_DOUBTFUL = (EventStatus.NO_CURRENT, EventStatus.NO_VERSION)


def statuses_of(
    keys: Keyspace, events: Sequence[Event], *, intents: set[ResourceKeys] | None = None
) -> Protocol[list[EventStatus]]:
    """Returns the status of each. 1 GET per resource, 1 GET per version that is not the current one; 2 round trips.

    1 round trip more where there are intents. `intents`: gets the resources that have one.
    """
    found = yield from _statuses_of(keys, events, intents)
    doubtful = [event for event, status in zip(events, found, strict=True) if status in _DOUBTFUL]
    if not doubtful:
        return found
    again = iter(
        (yield from _statuses_of(keys, doubtful, intents))
    )  # not so again if a writer was the reason; damage stays
    return [next(again) if status in _DOUBTFUL else status for status in found]


def _statuses_of(
    keys: Keyspace, events: Sequence[Event], intents: set[ResourceKeys] | None
) -> Protocol[list[EventStatus]]:
    resources = {(event.type, event.id): keys.resource(event.type, event.id) for event in events}
    found = yield from _currents(list(resources.values()), intents)
    currents = dict(zip(resources, found, strict=True))
    telling = {event: _telling(event, resources[event.type, event.id], currents) for event in events}
    distinct = list(dict.fromkeys(key for key in telling.values() if key))
    records = dict(zip(distinct, (yield from _records(distinct)), strict=True))
    return [_status(event, currents[event.type, event.id], records.get(telling[event])) for event in events]


_Read = Record | CorruptRecord | Archived | None


def _telling(event: Event, resource: ResourceKeys, currents: Mapping[tuple[str, str], _Read]) -> str:
    """Returns the key of the version object that decides the status; "" where none is needed."""
    current = currents[event.type, event.id]
    if isinstance(current, CorruptRecord | Archived):
        return ""
    version, floor = (0, 0) if current is None else (current.version, current.floor)
    if floor < event.version < version:
        return resource.version(event.version)
    return resource.version(event.version + 1) if event.version == version + 1 else ""


def _status(event: Event, current: _Read, telling: _Read) -> EventStatus:
    if isinstance(current, CorruptRecord | Archived):
        return EventStatus.NO_CURRENT
    version, floor = (0, 0) if current is None else (current.version, current.floor)
    if event.version > version:
        alone = event.version == version + 1 and telling is None
        return EventStatus.ORPHAN if alone else EventStatus.NO_CURRENT
    if event.version <= floor:
        return EventStatus.PURGED
    record = current if event.version == version else telling
    if isinstance(record, Archived):
        return EventStatus.ARCHIVED
    if not isinstance(record, Record) or record.version != event.version:
        return EventStatus.NO_VERSION
    return EventStatus.COMMITTED if record.op == event.op else EventStatus.OVERTAKEN


def _currents(resources: Sequence[ResourceKeys], intents: set[ResourceKeys] | None) -> Protocol[list[_Read]]:
    """Returns what readers see of each resource."""
    replies = yield from ask(*(Get(keys.current) for keys in resources))
    pairs = zip(resources, replies, strict=True)
    return (yield from side_by_side([_seen(keys, reply, intents) for keys, reply in pairs]))


def _seen(keys: ResourceKeys, reply: StoredObject | Absent, intents: set[ResourceKeys] | None) -> Protocol[_Read]:
    try:
        if intents is not None and not isinstance(reply, Absent) and decode(reply.body, keys.current).intent:
            intents.add(keys)
        return (yield from seen(keys, reply))
    except CorruptRecord as corrupt:
        return corrupt


def _records(object_keys: Sequence[str]) -> Protocol[list[_Read]]:
    if not object_keys:
        return []
    replies = yield from ask_archive(*(Get(key) for key in object_keys))
    return [_record(key, reply) for key, reply in zip(object_keys, replies, strict=True)]


def _record(key: str, reply: StoredObject | Absent | Archived) -> _Read:
    if isinstance(reply, Absent):
        return None
    if isinstance(reply, Archived):
        return reply
    try:
        return decode(reply.body, key)
    except CorruptRecord as corrupt:
        return corrupt
