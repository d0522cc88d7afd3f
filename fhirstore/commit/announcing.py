"""Round trip 2 of a transaction: intents, version objects, events and index entries, and what to do if one fails.

The intent comes first: while it is in `current.json`, nobody else can commit the next version. If `current.json` has
another ETag than the one that was read, then

* the same version under a new ETag (a fence, a rollback): the transaction builds on that;
* another version, or the intent of an older transaction: this attempt fails;
* the intent of a younger transaction: that one is aborted.

The slot may hold another writer's reservation. While our intent is there, that writer cannot commit, so the slot is
overwritten.

Rule R2: a slot may be overwritten only if `current.json` was read *after* the slot and still had our intent. If the
intent was rolled back before, the slot may hold the version that others have committed since.
"""

from __future__ import annotations

from collections.abc import Sequence

from fhirstore.commit.attempt import Base
from fhirstore.commit.backoff import CONTENDED, UNANSWERED
from fhirstore.commit.change import Change, in_groups
from fhirstore.commit.intents import clear
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Absent, Expired, Get, Protocol, Reply
from fhirstore.commit.reading import ask, glance
from fhirstore.commit.side_by_side import side_by_side
from fhirstore.objects.base import IF_ABSENT, Condition, IfMatch, Written


def announce(changes: Sequence[Change], context: Context) -> Protocol[bool]:
    """Returns True if all intents, slots and events are written; False to start over, and some may be written then.

    Raises Unavailable, CorruptRecord; others clear away what was written by then.
    """
    for group in in_groups(changes, context.limits.at_once):
        puts = [change.puts() for change in group]
        for change in group:
            change.begun = True
        replies = yield tuple(put for some in puts for put in some)
        at = 0
        for change, some in zip(group, puts, strict=True):
            _heard(change, replies[at : at + len(some)])
            at += len(some)
        unsure = [change for change in group if not change.announced]
        if unsure and any(isinstance(reply, Expired) for reply in replies):
            return False
        if not all((yield from side_by_side([_secure(change, context) for change in unsure]))):
            return False
    return True


def _heard(change: Change, replies: Sequence[Reply]) -> None:
    *rest, on_slot, on_intent = replies
    if isinstance(on_intent, Written):
        change.placed = on_intent.etag
    change.reserved = isinstance(on_slot, Written)
    change.missing = _still_missing(change, rest)


def _still_missing(change: Change, replies: Sequence[Reply]) -> tuple[str, ...]:
    return tuple(key for key, reply in zip(change.missing, replies, strict=True) if not isinstance(reply, Written))


def _secure(change: Change, context: Context) -> Protocol[bool]:
    return (
        (yield from _place(change, context))
        and (yield from _reserve(change, context))
        and (yield from _complete(change))
    )


def _place(change: Change, context: Context) -> Protocol[bool]:
    """Sees to it that our intent is in `current.json`. Returns False to start over."""
    for n in range(CONTENDED.tries):
        if change.placed is not None:
            return True
        base, date = yield from glance(change.keys)
        intent = base.intent
        if intent is not None and intent.tx == change.plan.tx:
            change.placed = base.etag
            return True
        if intent is not None:
            if not change.plan.age < intent.age:
                return False  # the older one wins
            yield from clear(change.keys, base, context, age=change.plan.age)
            continue
        if base.etag != change.base.etag:
            if not _same_version(base, change.base) or (base.record is not None and base.record.hold >= date):
                return False
            change.build_on(base)
        (reply,) = yield (change.intent_put(),)
        if isinstance(reply, Written):
            change.placed = reply.etag
        elif isinstance(reply, Expired):
            return False
        else:
            yield CONTENDED.jittered(n, context.ids)
    return False


def _same_version(now: Base, before: Base) -> bool:
    """Is it still the version that was decided on, and only fenced, held or rolled back since?"""
    if not now.version and not before.version:
        return True
    return (
        now.record is not None
        and before.record is not None
        and (now.record.version, now.record.op) == (before.record.version, before.record.op)
    )


def _reserve(change: Change, context: Context) -> Protocol[bool]:
    """Sees to it that the slot is ours. Returns False to start over."""
    body = b"" if change.reserved else change.record.encode()
    for n in range(CONTENDED.tries):
        if change.reserved:
            return True
        (found,) = yield from ask(Get(change.slot))
        if not isinstance(found, Absent) and found.body == body:
            return True
        base, _ = yield from glance(change.keys)
        if base.etag != change.placed:
            return False  # R2
        condition: Condition = IF_ABSENT if isinstance(found, Absent) else IfMatch(found.etag)
        (reply,) = yield (change.slot_put(body, condition),)
        if isinstance(reply, Expired):
            return False
        change.reserved = isinstance(reply, Written)
        if not change.reserved:
            yield CONTENDED.jittered(n, context.ids)
    return change.reserved


def _complete(change: Change) -> Protocol[bool]:
    """Sees to it that the events and index entries are there. Returns False to start over."""
    for n in range(UNANSWERED.tries):
        if not change.missing:
            return True
        replies = yield change.missing_puts()
        if any(isinstance(reply, Expired) for reply in replies):
            return False
        change.missing = _still_missing(change, replies)
        if change.missing:
            yield UNANSWERED.pause(n)
    return not change.missing
