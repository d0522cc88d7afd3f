"""Which version a reader may believe.

**The current version.** `current.json` decides: 1 GET.

**An earlier version (vread).** A version object is only a reservation until `current.json` reaches its version. So
vread GETs both, in parallel. The slot that it read is the committed version, and not an attempt that died and was
overwritten a moment later, if `current.json` has the same op token, or names it as its `prior`, or is old enough to
have been there before the slot was read. Otherwise (two versions within seconds) it reads the slot once more; now the
slot is final.

**Rule R3.** A version object that is read after `current.json` is the committed version, with one exception: a purge
removed it in between, and after that the late PUT of a dead attempt was applied. Such a PUT is not older than its write
window. So an object that may have been written after `current.json` was read is believed only if `current.json`, read
again, was not purged up to that version (`stands`).

**Intents.** If `current.json` has an intent, the transaction's record decides: 2 GET more, in parallel. No
reader waits. Committed: the next version counts, and its slot is final. Aborted or absent: it does not count. The
sweeper removes records when all their versions are final. So an absent record means undecided only if the intent is
still there afterwards: 1 GET more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from fhirstore.commit.attempt import NOTHING, Base
from fhirstore.commit.backoff import UNANSWERED
from fhirstore.commit.limits import Limits
from fhirstore.commit.messages import Absent, Archived, Get, Protocol, Replies
from fhirstore.errors import CorruptRecord, ObjectArchived, Unavailable
from fhirstore.format.decision import decode_decision
from fhirstore.format.keyspace import ResourceKeys
from fhirstore.format.record import Intent, Record, decode
from fhirstore.objects.base import StoredObject


def glance(keys: ResourceKeys) -> Protocol[tuple[Base, int]]:
    """Returns `current.json` with any intent in it, and the store's date then. Raises Unavailable, CorruptRecord."""
    (reply,) = yield from ask(Get(keys.current))
    if isinstance(reply, Absent):
        return NOTHING, reply.date
    return Base(decode(reply.body, keys.current), reply.etag), reply.date


def look(keys: ResourceKeys) -> Protocol[tuple[Base, int]]:
    """Returns the version that a reader sees, and the store's date then. Raises Unavailable, CorruptRecord.

    The base has an ETag only if this version is what `current.json` holds, without an intent.
    """
    while True:
        base, date = yield from glance(keys)
        if base.record is None or base.record.intent is None:
            return base, date
        seen = yield from resolve(keys, base.record, base.record.intent, base.etag)
        if seen is not None:
            return Base(seen, None, whole=False), date


def resolve(keys: ResourceKeys, current: Record, intent: Intent, etag: str | None) -> Protocol[Record | None]:
    """Returns the version that a reader sees that found this intent. None: the intent is gone, read again.

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
    if made is None:  # the slot was read before this transaction had written it
        (slot,) = yield from ask(Get(slot_key))
        made = _made(slot, slot_key, intent)
    if made is None:  # the version was made final, and then purged, in between
        (again,) = yield from ask(Get(keys.current))
        if _etag(again) == etag:
            raise CorruptRecord(slot_key)
    return made


def seen(keys: ResourceKeys, reply: StoredObject | Absent) -> Protocol[Record | None]:
    """Returns the version that a reader sees who got this reply for `current.json`.

    Raises Unavailable, CorruptRecord.
    """
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
    """Returns the current version's record; None if there is none. Raises Unavailable, CorruptRecord."""
    base, _ = yield from look(keys)
    return base.shown


def vread(keys: ResourceKeys, version: int, *, limits: Limits) -> Protocol[Record | None]:
    """Returns the record of `version` if that version was committed, else None.

    The current version is read from `current.json` where its slot is in an archive class. Raises ObjectArchived for any
    other such version that may exist; Unavailable, CorruptRecord.
    """
    slot_key = keys.version(version)
    current: Record | None = None
    while current is None:
        slot_reply, current_reply = yield from ask_archive(Get(slot_key), Get(keys.current))
        if isinstance(current_reply, Absent):
            return None
        if isinstance(current_reply, Archived):
            raise ObjectArchived(keys.current, date=current_reply.date)
        current = decode(current_reply.body, keys.current)
        if current.intent is not None:
            current = yield from resolve(keys, current, current.intent, current_reply.etag)
    if not current.exists or not current.floor < version <= current.version:
        return None
    if isinstance(slot_reply, Archived):
        if current.version == version:
            return current.without_intent()
        raise ObjectArchived(slot_key, date=slot_reply.date)
    slot = _record(slot_reply, slot_key)
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
    """Returns the op token of a version that `current`, read at `since` (epoch ms), has reached; None if it was purged.

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
    """Rule R3: is this slot the committed version? `current.json`, read at `since` (epoch ms), is already beyond it.

    No request if the slot is older than the write window, as it is in nearly all cases, else 1 GET. Raises Unavailable,
    CorruptRecord.
    """
    if not limits.may_follow(slot, since):
        return True
    now, _ = yield from glance(keys)
    return now.record is not None and now.record.floor < slot.version


def ask(*gets: Get) -> Protocol[tuple[StoredObject | Absent, ...]]:
    """GETs objects in parallel; again, with growing waits, those that were not answered.

    Those that are answered at once need no dict: see docs/performance.md, read. Raises Unavailable,
    ObjectArchived.
    """
    replies = yield gets
    if all(isinstance(reply, (StoredObject, Absent)) for reply in replies):
        return cast("tuple[StoredObject | Absent, ...]", replies)
    answers: list[StoredObject | Absent] = []
    for get, answer in zip(gets, (yield from _answers(gets, replies)), strict=True):
        if isinstance(answer, Archived):
            raise ObjectArchived(get.key, date=answer.date)
        answers.append(answer)
    return tuple(answers)


def ask_archive(*gets: Get) -> Protocol[tuple[StoredObject | Absent | Archived, ...]]:
    """As `ask`, for those who can do without an object that is in an archive class. Raises Unavailable."""
    return (yield from _answers(gets, (yield gets)))


def _answers(gets: Sequence[Get], replies: Replies) -> Protocol[tuple[StoredObject | Absent | Archived, ...]]:
    """Returns the answers, of which `replies` are the first."""
    answers: dict[str, StoredObject | Absent | Archived] = {}
    missing = tuple(gets)
    for n in range(UNANSWERED.tries):
        for get, reply in zip(missing, replies, strict=True):
            if isinstance(reply, (StoredObject, Absent, Archived)):
                answers[get.key] = reply
        if len(answers) == len(gets):
            return tuple([answers[get.key] for get in gets])
        yield UNANSWERED.pause(n)
        missing = tuple(get for get in gets if get.key not in answers)
        if n < UNANSWERED.tries - 1:
            replies = yield missing
    raise Unavailable("The object store does not answer; try again later")


def _record(reply: StoredObject | Absent, key: str) -> Record | None:
    if isinstance(reply, Absent):
        return None
    record = decode(reply.body, key)
    return record if record.exists else None


def _made(reply: StoredObject | Absent, key: str, intent: Intent) -> Record | None:
    """Returns the version that this transaction made, if the slot holds it."""
    if isinstance(reply, Absent):
        return None
    record = decode(reply.body, key)
    return record if record.op == intent.tx else None


def _etag(reply: StoredObject | Absent) -> str | None:
    return reply.etag if isinstance(reply, StoredObject) else None
