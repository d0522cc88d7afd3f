"""Removes what transactions leave: intents that were not cleared, and decisions that are no longer needed.

The sweeper finds an intent by the events of its transaction, and clears it when the transaction can no longer commit.
An intent without any event is found by fsck or by the next writer; until then each read of that resource costs 2 or 3
GET more and is correct.

A decision is removed when it is a day old and no intent refers to it.

The versions of a committed transaction are in `current` only when they were made final. So each part is read, made
final if necessary, and read again before the decision is removed. An aborted decision can be removed as it is: an
intent without a decision counts as aborted once the transaction can no longer commit.

Ids of transactions sort by time, so the oldest come first, and the walk ends with the first page that has a young one.

Cost: 1 LIST, and 1 more per 1,000 removed decisions; per decision 1 GET, 1 GET per part, and a share of a DELETE.
"""

from __future__ import annotations

from fhirstore.batched import batched
from fhirstore.commit.idempotent import listed, removed
from fhirstore.commit.intents import clear
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Absent, Get, List, Protocol
from fhirstore.commit.reading import ask, glance
from fhirstore.commit.side_by_side import side_by_side
from fhirstore.errors import CorruptRecord, InvalidResource
from fhirstore.format.decision import decode_decision
from fhirstore.format.keyspace import Keyspace, ResourceKeys

_AT_ONCE = 16


def clear_old(resource: ResourceKeys, *, context: Context) -> Protocol[bool]:
    """Clear the intent in `current.json`, if its transaction can no longer commit. Returns whether none is left.

    Raises Unavailable.
    """
    try:
        base, date = yield from glance(resource)
        if base.intent is None:
            return True
        if base.intent.t + context.limits.settled >= date:
            return False
        yield from clear(resource, base, context)
        base, _ = yield from glance(resource)
        return base.intent is None
    except CorruptRecord:
        return False  # fsck reports it


def remove_transactions(keys: Keyspace, date: int, *, context: Context, page: int) -> Protocol[int]:
    """Remove the decisions that are old enough at `date` (store's time). Returns how many. Raises Unavailable."""
    before = date - context.limits.keep_transactions
    count = 0
    cursor: str | None = None
    while True:
        found = yield from listed(List(keys.transactions(), cursor=cursor, limit=page))
        old = [item.key for item in found.objects if item.modified < before]
        for some in batched(old, _AT_ONCE):
            done = yield from side_by_side([needless(keys, key, before, context=context) for key in some])
            old_enough = [key for key, over in zip(some, done, strict=True) if over]
            if old_enough:
                yield from removed(*old_enough)
                count += len(old_enough)
        cursor = found.cursor
        if cursor is None or len(old) < len(found.objects):
            return count


def needless(keys: Keyspace, key: str, before: int, *, context: Context) -> Protocol[bool]:
    """Returns whether this decision is no longer needed, after making its parts final. Raises Unavailable."""
    (reply,) = yield from ask(Get(key))
    if isinstance(reply, Absent):
        return False
    try:
        decision = decode_decision(reply.body, key)
        if decision.t >= before:
            return False
        for some in batched(decision.parts, _AT_ONCE):
            done = yield from side_by_side([_final(keys, part, context) for part in some])
            if not all(done):
                return False
    except (CorruptRecord, InvalidResource):
        return False  # fsck reports it
    return True


def _final(keys: Keyspace, part: tuple[str, str, int], context: Context) -> Protocol[bool]:
    """Returns whether `current` has this version or a later one as final, after trying to make it final."""
    type_, id_, version = part
    resource = keys.resource(type_, id_)
    base, _ = yield from glance(resource)
    if base.version < version and base.intent is not None:
        yield from clear(resource, base, context)
        base, _ = yield from glance(resource)
    return base.version >= version
