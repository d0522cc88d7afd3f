"""Was the version that an event announces committed? For events so old that nothing of their attempt can still arrive.

`current` is read first, the version object after it: a slot that is read once `current` has reached its version is
final. And once an attempt's window is over, a version above `current` can never be committed by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from fhirstore.commit.messages import Absent, Get, Protocol
from fhirstore.commit.reading import ask
from fhirstore.errors import CorruptRecord
from fhirstore.keyspace import Event, Keyspace
from fhirstore.objects.base import StoredObject
from fhirstore.record import Record, decode


class Standing(Enum):
    """What became of the attempt that wrote an event."""

    COMMITTED = "committed"
    ORPHAN = "orphan"  # never committed, and never will be
    PURGED = "purged"  # the version was purged, or another attempt at it was; the event must go in either case
    NO_VERSION = "no version"  # committed by somebody, but the version object is missing or damaged: nobody can tell
    NO_CURRENT = "no current"  # `current` is damaged: nobody can tell


def standings(keys: Keyspace, events: Sequence[Event]) -> Protocol[list[Standing]]:
    """The standing of each. 1 GET per resource, 1 GET per version that is not the current one; 2 round trips."""
    resources = {(event.type, event.id): keys.resource(event.type, event.id) for event in events}
    found = yield from _records([resource.current for resource in resources.values()])
    currents = dict(zip(resources, found, strict=True))
    versions = {
        event: resources[event.type, event.id].version(event.version)
        for event in events
        if _needs_version(event, currents[event.type, event.id])
    }
    distinct = list(dict.fromkeys(versions.values()))
    records = dict(zip(distinct, (yield from _records(distinct)), strict=True))
    return [_standing(event, currents[event.type, event.id], records.get(versions.get(event, ""))) for event in events]


def _needs_version(event: Event, current: Record | CorruptRecord | None) -> bool:
    return isinstance(current, Record) and current.floor < event.version < current.version


def _standing(event: Event, current: Record | CorruptRecord | None, version: Record | CorruptRecord | None) -> Standing:
    if isinstance(current, CorruptRecord):
        return Standing.NO_CURRENT
    if current is None or current.version < event.version:
        return Standing.ORPHAN
    if event.version <= current.floor:
        return Standing.PURGED
    record = current if event.version == current.version else version
    if not isinstance(record, Record):
        return Standing.NO_VERSION
    return Standing.COMMITTED if record.op == event.op else Standing.ORPHAN


def _records(object_keys: Sequence[str]) -> Protocol[list[Record | CorruptRecord | None]]:
    if not object_keys:
        return []
    replies = yield from ask(*(Get(key) for key in object_keys))
    return [_record(key, reply) for key, reply in zip(object_keys, replies, strict=True)]


def _record(key: str, reply: StoredObject | Absent) -> Record | CorruptRecord | None:
    if isinstance(reply, Absent):
        return None
    try:
        return decode(reply.body, key)
    except CorruptRecord as corrupt:
        return corrupt
