"""What a reader may believe.

`current.json` is the truth: 1 GET. A version object is a reservation until `current` reaches its version, so vread
GETs both, in parallel. What it read in the slot was the committed version, and not an attempt that died there and was
written over a moment later, if `current` carries the same op token, or names it as its `prior`, or is so old that it
stood before the slot was read. Otherwise, for a resource that gained two versions within seconds, it reads the slot
once more: now it is final.
"""

from __future__ import annotations

from fhirstore.commit.attempt import NOTHING, Base
from fhirstore.commit.messages import Absent, Get, Pause, Protocol
from fhirstore.commit.rules import Rules
from fhirstore.errors import Unavailable
from fhirstore.keyspace import ResourceKeys
from fhirstore.objects.base import StoredObject
from fhirstore.record import Record, decode

_TRIES = 6


def look(keys: ResourceKeys) -> Protocol[tuple[Base, int]]:
    """What `current.json` holds, and the store's date then. Raises Unavailable, CorruptRecord."""
    (reply,) = yield from ask(Get(keys.current))
    if isinstance(reply, Absent):
        return NOTHING, reply.date
    return Base(decode(reply.body, keys.current), reply.etag), reply.date


def read(keys: ResourceKeys) -> Protocol[Record | None]:
    """The current version's record; None when there is none yet. Raises Unavailable, CorruptRecord."""
    base, _ = yield from look(keys)
    return base.shown


def vread(keys: ResourceKeys, version: int, *, rules: Rules) -> Protocol[Record | None]:
    """The record of `version`, if that version was committed. Raises Unavailable, CorruptRecord."""
    slot_key = keys.version(version)
    slot_reply, current_reply = yield from ask(Get(slot_key), Get(keys.current))
    slot, current = _record(slot_reply, slot_key), _record(current_reply, keys.current)
    if current is None or not current.floor < version <= current.version:
        return None
    if current.version == version:
        return slot if slot is not None and slot.op == current.op else None
    if slot is not None:
        neighbours = current.version == version + 1 and current.prior == slot.op
        if neighbours or current.t + rules.settled < slot_reply.date:
            return slot
    (slot_reply,) = yield from ask(Get(slot_key))
    return _record(slot_reply, slot_key)


def ask(*gets: Get) -> Protocol[tuple[StoredObject | Absent, ...]]:
    """GET in parallel, again with growing pauses where no answer comes. Raises Unavailable when none ever does."""
    answers: dict[str, StoredObject | Absent] = {}
    missing = gets
    for n in range(_TRIES):
        for get, reply in zip(missing, (yield missing), strict=True):
            if isinstance(reply, (StoredObject, Absent)):
                answers[get.key] = reply
        if len(answers) == len(gets):
            return tuple([answers[get.key] for get in gets])
        yield Pause(0.05 * 2**n)
        missing = tuple(get for get in gets if get.key not in answers)
    raise Unavailable("The object store does not answer; try again later")


def _record(reply: StoredObject | Absent, key: str) -> Record | None:
    if isinstance(reply, Absent):
        return None
    record = decode(reply.body, key)
    return record if record.exists else None
