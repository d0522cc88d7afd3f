"""Round trip 2 of a transaction: intents, version objects, events and index entries; and what to do where one fails.

The intent comes first: while it stands, nobody else can commit the next version. `current.json` may have got another
ETag since it was read. The same version under a new one (a fence, a rollback): build on that. Another version, or the
intent of an older transaction: this attempt is over. The intent of a younger one: it has to give way.

The slot may hold another's reservation. As long as our intent stands, its owner cannot commit: write over it.

R2: write over a slot only after re-checking, *after* the slot was read, that our intent still stands. (If it was
rolled back before, what was read may be the version that others committed meanwhile.)
"""

from __future__ import annotations

from collections.abc import Sequence

from fhirstore.commit.attempt import Base
from fhirstore.commit.backoff import CONTENDED, UNANSWERED
from fhirstore.commit.change import Change, in_groups
from fhirstore.commit.intents import clear
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Absent, Expired, Get, Protocol, Put, Reply
from fhirstore.commit.reading import ask, glance
from fhirstore.commit.side_by_side import side_by_side
from fhirstore.objects.base import IF_ABSENT, Condition, IfMatch, Written


def announce(changes: Sequence[Change], context: Context) -> Protocol[bool]:
    """True: all intents stand, all slots are ours, all events are there. False: start over; some may be there.

    Raises Unavailable, CorruptRecord: then others clear away what is there.
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
    """Our intent stands."""
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
    """Is it the version that the decision was made on, fenced, held or rolled back since?"""
    if not now.version and not before.version:
        return True
    return (
        now.record is not None
        and before.record is not None
        and (now.record.version, now.record.op) == (before.record.version, before.record.op)
    )


def _reserve(change: Change, context: Context) -> Protocol[bool]:
    """The slot is ours."""
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
        (reply,) = yield (Put(change.slot, body, condition, change.plan.expires),)
        if isinstance(reply, Expired):
            return False
        change.reserved = isinstance(reply, Written)
        if not change.reserved:
            yield CONTENDED.jittered(n, context.ids)
    return change.reserved


def _complete(change: Change) -> Protocol[bool]:
    """The events and index entries are there."""
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
