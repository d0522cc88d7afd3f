"""What a reader may believe.

`current.json` is the truth: 1 GET. A version object is a reservation until `current` reaches its version, so vread
GETs both, in parallel. What it read in the slot was the committed version, and not an attempt that died there and was
written over a moment later, if `current` carries the same op token, or names it as its `prior`, or is so old that it
stood before the slot was read. Otherwise, for a resource that gained two versions within seconds, it reads both once
more: now the slot is final. Only a purge takes it away, and what then appears there is no version: where the slot was
read later than `current`, `current` is read again to see whether there was one.

Where `current` holds an intent, the transaction's record says what to believe, and nobody waits: 2 GET more, in
parallel. Committed: the next version counts, and its slot is final. Aborted, or not there: it does not. Records are
removed one day, when all their versions stand in `current`; so one that is not there is believed to be undecided only
if the intent still stands after that was seen: 1 GET more.
"""

from __future__ import annotations

from fhirstore.commit.attempt import NOTHING, Base
from fhirstore.commit.decision import decode_decision
from fhirstore.commit.messages import Absent, Get, Pause, Protocol
from fhirstore.commit.rules import Rules
from fhirstore.errors import CorruptRecord, Unavailable
from fhirstore.keyspace import ResourceKeys
from fhirstore.objects.base import StoredObject
from fhirstore.record import Intent, Record, decode

_TRIES = 6


def glance(keys: ResourceKeys) -> Protocol[tuple[Base, int]]:
    """What `current.json` holds, intents included, and the store's date then. Raises Unavailable, CorruptRecord."""
    (reply,) = yield from ask(Get(keys.current))
    if isinstance(reply, Absent):
        return NOTHING, reply.date
    return Base(decode(reply.body, keys.current), reply.etag), reply.date


def look(keys: ResourceKeys) -> Protocol[tuple[Base, int]]:
    """What a reader sees, and the store's date then; its ETag only where that is what `current.json` holds.

    Raises Unavailable, CorruptRecord.
    """
    while True:
        base, date = yield from glance(keys)
        if base.record is None or base.record.intent is None:
            return base, date
        seen = yield from resolve(keys, base.record, base.record.intent, base.etag)
        if seen is not None:
            return Base(seen, None, whole=False), date


def resolve(keys: ResourceKeys, current: Record, intent: Intent, etag: str | None) -> Protocol[Record | None]:
    """What a reader sees who found this intent in `current.json`. None: it is gone meanwhile, look again.

    Raises Unavailable, CorruptRecord.
    """
    record_key, slot_key = keys.transaction(intent.tx), keys.version(intent.v)
    found, slot = yield from ask(Get(record_key), Get(slot_key))
    if isinstance(found, Absent):
        (again,) = yield from ask(Get(keys.current))
        return current.without_intent() if _etag(again) == etag else None
    if not decode_decision(found.body, record_key).committed:
        return current.without_intent()
    made = _made(slot, slot_key, intent)
    if made is None:  # read before it was there, or before it was ours
        (slot,) = yield from ask(Get(slot_key))
        made = _made(slot, slot_key, intent)
    if made is None:  # it was made final, and purged, meanwhile
        (again,) = yield from ask(Get(keys.current))
        if _etag(again) == etag:
            raise CorruptRecord(slot_key)
    return made


def seen(keys: ResourceKeys, reply: StoredObject | Absent) -> Protocol[Record | None]:
    """What a reader sees to whom `current.json` was this reply. Raises Unavailable, CorruptRecord."""
    if isinstance(reply, Absent):
        return None
    record: Record | None = decode(reply.body, keys.current)
    if record is not None and record.intent is not None:
        record = yield from resolve(keys, record, record.intent, reply.etag)
        if record is None:
            base, _ = yield from look(keys)
            record = base.record
    return record


def read(keys: ResourceKeys) -> Protocol[Record | None]:
    """The current version's record; None when there is none yet. Raises Unavailable, CorruptRecord."""
    base, _ = yield from look(keys)
    return base.shown


def vread(keys: ResourceKeys, version: int, *, rules: Rules) -> Protocol[Record | None]:
    """The record of `version`, if that version was committed. Raises Unavailable, CorruptRecord."""
    slot_key = keys.version(version)
    current: Record | None = None
    while current is None:
        slot_reply, current_reply = yield from ask(Get(slot_key), Get(keys.current))
        if isinstance(current_reply, Absent):
            return None
        current = decode(current_reply.body, keys.current)
        if current.intent is not None:
            current = yield from resolve(keys, current, current.intent, current_reply.etag)
    slot = _record(slot_reply, slot_key)
    if not current.exists or not current.floor < version <= current.version:
        return None
    if current.version == version:
        return slot if slot is not None and slot.op == current.op else None
    if slot is not None and current.version == version + 1 and current.prior == slot.op:
        return slot
    if slot is None or current.t + rules.settled_for(current) >= slot_reply.date:
        slot_reply, current_reply = yield from ask(Get(slot_key), Get(keys.current))
        slot = _record(slot_reply, slot_key)
    if slot is not None and slot_reply.date > current_reply.date:
        (current_reply,) = yield from ask(Get(keys.current))
        if isinstance(current_reply, Absent) or decode(current_reply.body, keys.current).floor >= version:
            return None
    return slot


def ask(*gets: Get) -> Protocol[tuple[StoredObject | Absent, ...]]:
    """GET in parallel, again with growing pauses where no answer comes. Raises Unavailable when none ever does."""
    answers: dict[str, StoredObject | Absent] = {}
    missing = gets
    for n in range(_TRIES):
        replies = yield missing
        if len(gets) == 1 and isinstance(replies[0], (StoredObject, Absent)):
            return (replies[0],)  # as nearly always
        for get, reply in zip(missing, replies, strict=True):
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


def _made(reply: StoredObject | Absent, key: str, intent: Intent) -> Record | None:
    """The version that this transaction made."""
    if isinstance(reply, Absent):
        return None
    record = decode(reply.body, key)
    return record if record.op == intent.tx else None


def _etag(reply: StoredObject | Absent) -> str | None:
    return reply.etag if isinstance(reply, StoredObject) else None
