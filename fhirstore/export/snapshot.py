"""Which version of a resource is visible at the time T of a snapshot: the newest one with t <= T.

**When it can be told.** A write with the time t may appear on the store until t + `Limits.settled` on the store's
clock, and not later. So `settled` waits until the store's own date is past T + `Limits.settled`; after that, what was
committed at or before T never changes, and all versions of a transaction with t <= T are there, or none ever will be.

**How it is found.** `current.json` decides. If it is not newer than T, it is the answer. Otherwise the versions before
it are read by number; their times grow with the numbers. An intent made after T does not matter; any other is resolved
as for every reader (`commit.reading`). A version that was read after `current.json` is final, except where a purge came
in between (rule R3 there).

A purged resource has no versions, so it is in no snapshot any more. One that is damaged, or lies in the archive,
is reported as `Damaged`.

Cost: 1 GET for each resource that was not changed after T. 1 GET more for one change after T; 8 GET in 1 round trip
more for up to 128 changes.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from fhirstore.commit.backoff import until_past
from fhirstore.commit.limits import Limits
from fhirstore.commit.messages import Absent, Archived, Get, Protocol
from fhirstore.commit.reading import ask, ask_archive, glance, look, resolve, stands
from fhirstore.commit.side_by_side import side_by_side
from fhirstore.errors import CorruptRecord, ObjectArchived
from fhirstore.format.keyspace import ResourceKeys
from fhirstore.format.record import Record, decode
from fhirstore.objects.base import StoredObject

_PROBES = 8


class Damaged(msgspec.Struct, frozen=True):
    """What is stored of the resource cannot be read. `key`: of the object. `archived`: it is in an archive class."""

    key: str
    archived: bool = False


Visible = Record | Damaged | None
"""The version at T: its record (of a resource or a tombstone), none, or one that cannot be read."""


def settled(key: str, at: int, *, limits: Limits) -> Protocol[bool]:
    """Returns whether the snapshot at `at` (epoch ms) is settled; if not, after a wait of at most 1 s.

    The date of the store's answer to a GET of `key` tells; the object may be absent. Raises Unavailable.
    """
    (reply,) = yield from ask(Get(key))
    until = at + limits.settled
    if reply.date > until:
        return True
    yield until_past(until, reply.date)
    return False


def versions_at(resources: Sequence[ResourceKeys], at: int, *, limits: Limits) -> Protocol[list[Visible]]:
    """Returns the versions of these resources that are visible at `at` (epoch ms), in order. Raises Unavailable.

    The requests for all of them are in flight at once.
    """
    replies = yield from ask(*[Get(keys.current) for keys in resources])
    found: list[Visible] = []
    harder: list[int] = []
    for keys, reply in zip(resources, replies, strict=True):
        seen = _at_once(keys, reply, at)
        if seen is _LATER:
            harder.append(len(found))
            seen = None
        found.append(seen)
    if harder:
        searches = [_sought(resources[n], replies[n], at, limits) for n in harder]
        for n, seen in zip(harder, (yield from side_by_side(searches)), strict=True):
            found[n] = seen
    return found


_LATER = Damaged("")  # stands for: more requests are needed


def _at_once(keys: ResourceKeys, reply: StoredObject | Absent, at: int) -> Visible:
    """Returns what `current.json` alone says, or _LATER."""
    if isinstance(reply, Absent):
        return None
    try:
        record = decode(reply.body, keys.current)
    except CorruptRecord:
        return Damaged(keys.current)
    if record.intent is not None and record.intent.t <= at:
        return _LATER
    if record.t > at:
        return _LATER if record.exists else None
    return record if record.exists else None


def _sought(keys: ResourceKeys, reply: StoredObject | Absent, at: int, limits: Limits) -> Protocol[Visible]:
    """Returns the version visible at `at`, with more requests."""
    try:
        return (yield from _version_at(keys, reply, at, limits))
    except CorruptRecord as error:
        return Damaged(error.key)
    except ObjectArchived as error:
        return Damaged(error.key, archived=True)


def _version_at(keys: ResourceKeys, reply: StoredObject | Absent, at: int, limits: Limits) -> Protocol[Record | None]:
    current: Record | None = None if isinstance(reply, Absent) else decode(reply.body, keys.current)
    date = reply.date
    intent = None if current is None else current.intent
    if current is not None and intent is not None and isinstance(reply, StoredObject):
        if intent.t > at:
            current = current.without_intent()
        else:
            current = yield from resolve(keys, current, intent, reply.etag)
            if current is None:
                base, date = yield from look(keys)
                current = base.record
    if current is None or not current.exists:
        return None
    if current.t <= at:
        return current
    return (yield from _before(keys, current, date, at, limits))


def _before(keys: ResourceKeys, current: Record, date: int, at: int, limits: Limits) -> Protocol[Record | None]:
    """Returns the newest version with t <= `at`. `current` is newer, and was read at `date`.

    Raises CorruptRecord; ObjectArchived if it may be a version in an archive class.
    """
    low, high = current.floor, current.version  # the one sought has a number above `low`, or is it; and below `high`
    found: Record | None = None
    archived = ""  # `low` cannot be read: it is taken for the one sought as long as none after it is
    first = True
    while low + 1 < high:
        numbers = [high - 1] if first else _probed(low, high, known=found is not None or bool(archived))
        first = False
        replies = yield from ask_archive(*[Get(keys.version(number)) for number in numbers])
        for number, reply in zip(numbers, replies, strict=True):
            key = keys.version(number)
            if isinstance(reply, Archived):
                low, found, archived = number, None, key
                continue
            if isinstance(reply, Absent) or not (record := decode(reply.body, key)).exists:
                now, _ = yield from glance(keys)
                if now.record is None or now.record.floor >= number:
                    return None  # purged in between
                raise CorruptRecord(key)
            if record.t > at:
                high = number
                break
            low, found, archived = number, record, ""
    if archived:
        raise ObjectArchived(archived, date=date)
    if found is None or not (yield from stands(keys, found, since=date, limits=limits)):
        return None
    return found


def _probed(low: int, high: int, *, known: bool) -> list[int]:
    """Returns the numbers to read next, ascending: close to `high` at first, evenly spread once `low` is a version."""
    if known:
        return sorted({low + (high - low) * n // (_PROBES + 1) for n in range(1, _PROBES + 1)} - {low})
    return sorted({max(low + 1, high - 2**n) for n in range(_PROBES)})
