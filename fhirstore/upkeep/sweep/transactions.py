"""What transactions leave: intents that nobody cleared, and records that nobody needs any more.

An intent is met with the events of its transaction, and cleared when its time to commit is over. One that came without
any event is fsck's to find, or the next writer's; until then each read costs 2 or 3 GET more, and sees what is true.

A record goes when it is a day old, and every intent that refers to it is gone.

A committed transaction's versions stand in `current` only once they were made final. So each part is looked at, made
final if need be, and looked at again; only then the record goes. An aborted one can go as it is: an intent without a
record counts for nothing, and its transaction's time to commit is long over.

Ids of transactions sort by time, so the oldest come first, and the walk ends with the first page that holds a young
one.

Cost: 1 LIST, and per 1,000 records that go 1 more; per record 1 GET, 1 GET per part, and one share of a DELETE.
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
    """Clear the intent in `current.json`, if its transaction cannot be alive. True: none is left.

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
        return False  # for fsck to find


def remove_transactions(keys: Keyspace, date: int, *, context: Context, page: int) -> Protocol[int]:
    """Remove what is old enough at `date`, the store's; how many it were. Raises Unavailable."""
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
    """May this record go? Its parts are made final, if they are not. Raises Unavailable."""
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
        return False  # for fsck to find
    return True


def _final(keys: Keyspace, part: tuple[str, str, int], context: Context) -> Protocol[bool]:
    """Does `current` stand at this version at least, by itself?"""
    type_, id_, version = part
    resource = keys.resource(type_, id_)
    base, _ = yield from glance(resource)
    if base.version < version and base.intent is not None:
        yield from clear(resource, base, context)
        base, _ = yield from glance(resource)
    return base.version >= version
