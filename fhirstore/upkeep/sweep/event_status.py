"""Was the version that an event announces committed? For events so old that nothing of their attempt can still arrive.

`current` is read first, the version object after it: a slot that is read once `current` has reached its version is
final. And once an attempt's window is over, a version above `current` can never be committed by it. Where an intent
stands in `current`, the transaction's record says which version counts, as for every reader.

A dead attempt stands at `current` + 1, with nothing above it. Whatever else is above `current` shows that `current`
is damaged (lost, or an old copy put back): then nobody may take what is there for an orphan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum

from fhirstore.commit.messages import Absent, Get, Protocol
from fhirstore.commit.reading import ask, seen
from fhirstore.commit.side_by_side import side_by_side
from fhirstore.errors import CorruptRecord
from fhirstore.format.keyspace import Event, Keyspace, ResourceKeys
from fhirstore.format.record import Record, decode
from fhirstore.objects.base import StoredObject


class EventStatus(Enum):
    """What became of the attempt that wrote an event."""

    COMMITTED = "committed"
    ORPHAN = "orphan"  # never committed, and never will be: the next version, but its time is over
    OVERTAKEN = "overtaken"  # never committed: another attempt made this version
    PURGED = "purged"  # the version was purged, or another attempt at it was; the event must go in either case
    NO_VERSION = "no version"  # committed by somebody, but the version object is missing or damaged: nobody can tell
    NO_CURRENT = "no current"  # `current` is damaged, missing or behind: nobody can tell


# A second look tells: `current` may just have come to be, and a purge may have come between the two GETs.
_DOUBTFUL = (EventStatus.NO_CURRENT, EventStatus.NO_VERSION)


def statuses_of(
    keys: Keyspace, events: Sequence[Event], *, intents: set[ResourceKeys] | None = None
) -> Protocol[list[EventStatus]]:
    """The status of each. 1 GET per resource, 1 GET per version that is not the current one; 2 round trips.

    1 round trip more where intents stand. `intents`: takes the resources where they do.
    """
    found = yield from _statuses_of(keys, events, intents)
    doubtful = [event for event, status in zip(events, found, strict=True) if status in _DOUBTFUL]
    if not doubtful:
        return found
    again = iter((yield from _statuses_of(keys, doubtful, intents)))  # a writer may have come in between; damage stays
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


_Read = Record | CorruptRecord | None


def _telling(event: Event, resource: ResourceKeys, currents: Mapping[tuple[str, str], _Read]) -> str:
    """The version object that tells what became of the event; empty where none is needed."""
    current = currents[event.type, event.id]
    if isinstance(current, CorruptRecord):
        return ""
    version, floor = (0, 0) if current is None else (current.version, current.floor)
    if floor < event.version < version:
        return resource.version(event.version)
    return resource.version(event.version + 1) if event.version == version + 1 else ""


def _status(event: Event, current: _Read, telling: _Read) -> EventStatus:
    if isinstance(current, CorruptRecord):
        return EventStatus.NO_CURRENT
    version, floor = (0, 0) if current is None else (current.version, current.floor)
    if event.version > version:
        alone = event.version == version + 1 and telling is None
        return EventStatus.ORPHAN if alone else EventStatus.NO_CURRENT
    if event.version <= floor:
        return EventStatus.PURGED
    record = current if event.version == version else telling
    if not isinstance(record, Record) or record.version != event.version:
        return EventStatus.NO_VERSION
    return EventStatus.COMMITTED if record.op == event.op else EventStatus.OVERTAKEN


def _currents(resources: Sequence[ResourceKeys], intents: set[ResourceKeys] | None) -> Protocol[list[_Read]]:
    """What readers see of each."""
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
    replies = yield from ask(*(Get(key) for key in object_keys))
    return [_record(key, reply) for key, reply in zip(object_keys, replies, strict=True)]


def _record(key: str, reply: StoredObject | Absent) -> _Read:
    if isinstance(reply, Absent):
        return None
    try:
        return decode(reply.body, key)
    except CorruptRecord as corrupt:
        return corrupt
