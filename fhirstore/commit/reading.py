"""What a reader may believe.

`current.json` is the truth: 1 GET. A version object is a reservation until `current` reaches its version, so vread
GETs both, in parallel. What it read in the slot was the committed version, and not an attempt that died there and was
written over a moment later, if `current` carries the same op token, or names it as its `prior`, or is so old that it
stood before the slot was read. Otherwise, for a resource that gained two versions within seconds, it reads the slot
once more: now it is final.

R3: a version object that is read after `current` is the version, unless a purge took that away in between and a dead
attempt's PUT came after the purge. Such a PUT is as young as its window. So what may have been written after `current`
was read is believed only if `current`, read again, has not been purged up to there (`stands`).

Where `current` holds an intent, the transaction's record says what to believe, and nobody waits: 2 GET more, in
parallel. Committed: the next version counts, and its slot is final. Aborted, or not there: it does not. Records are
removed one day, when all their versions stand in `current`; so one that is not there is believed to be undecided only
if the intent still stands after that was seen: 1 GET more.
"""

from __future__ import annotations

from fhirstore.commit.attempt import NOTHING, Base
from fhirstore.commit.backoff import UNANSWERED
from fhirstore.commit.limits import Limits
from fhirstore.commit.messages import Absent, Get, Protocol
from fhirstore.errors import CorruptRecord, Unavailable
from fhirstore.format.decision import decode_decision
from fhirstore.format.keyspace import ResourceKeys
from fhirstore.format.record import Intent, Record, decode
from fhirstore.objects.base import StoredObject


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


def vread(keys: ResourceKeys, version: int, *, limits: Limits) -> Protocol[Record | None]:
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
    if slot is None or limits.may_follow(current, slot_reply.date):
        (slot_reply,) = yield from ask(Get(slot_key))
        slot = _record(slot_reply, slot_key)
    if slot is None or (yield from stands(keys, slot, since=current_reply.date, limits=limits)):
        return slot
    return None


def reached(keys: ResourceKeys, current: Record, version: int, *, since: int, limits: Limits) -> Protocol[str | None]:
    """The op token of a version that `current`, read at `since` (epoch ms), has reached; None: it was purged.

    Raises Unavailable, CorruptRecord.
    """
    if current.floor >= version:
        return None
    if current.version == version:
        return current.op
    if current.version == version + 1 and current.prior is not None:
        return current.prior
    key = keys.version(version)
    (reply,) = yield from ask(Get(key))
    if isinstance(reply, Absent):
        return None
    slot = decode(reply.body, key)
    return slot.op if (yield from stands(keys, slot, since=since, limits=limits)) else None


def stands(keys: ResourceKeys, slot: Record, *, since: int, limits: Limits) -> Protocol[bool]:
    """R3: is this, from the slot of a version that `current`, read at `since` (epoch ms), has passed, the version?

    No request where it is as old as nearly always, else 1 GET. Raises Unavailable, CorruptRecord.
    """
    if not limits.may_follow(slot, since):
        return True
    now, _ = yield from glance(keys)
    return now.record is not None and now.record.floor < slot.version


def ask(*gets: Get) -> Protocol[tuple[StoredObject | Absent, ...]]:
    """GET in parallel, again with growing pauses where no answer comes. Raises Unavailable when none ever does."""
    answers: dict[str, StoredObject | Absent] = {}
    missing = gets
    for n in range(UNANSWERED.tries):
        replies = yield missing
        if len(gets) == 1 and isinstance(replies[0], (StoredObject, Absent)):
            return (replies[0],)  # as nearly always
        for get, reply in zip(missing, replies, strict=True):
            if isinstance(reply, (StoredObject, Absent)):
                answers[get.key] = reply
        if len(answers) == len(gets):
            return tuple([answers[get.key] for get in gets])
        yield UNANSWERED.pause(n)
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
