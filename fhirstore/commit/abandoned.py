"""What a write does when its slot is taken: by a writer that is alive, or by one that died before its commit.

It gives the owner time to commit, then fences it (`fence`): after that the owner's attempt can never commit, and its
slot may be overwritten.

Rule R1: an owner may be judged dead only if `current.json` was read again *after* its slot was read. Between our GET of
`current.json` and our GET of the slot, the owner may have committed.
"""

from __future__ import annotations

from fhirstore.commit.attempt import Attempt
from fhirstore.commit.backoff import RIVAL
from fhirstore.commit.fence import fence
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Absent, Get, Protocol
from fhirstore.commit.reading import ask
from fhirstore.format.record import Record, decode
from fhirstore.objects.base import IfMatch, StoredObject, Written


def take_over(attempt: Attempt, context: Context) -> Protocol[bool]:
    """Called when our PUT of the slot was not acknowledged. Returns True if the slot is ours now, False to start over.

    Raises Unavailable, CorruptRecord.
    """
    found = yield from _slot(attempt)
    if found is None:
        return False  # the reservation was not applied; if it is applied later, it is an orphan
    owner, etag = found
    if owner.op == attempt.record.op:
        return True  # it was applied, and the reply was lost
    if not attempt.base.whole:
        return False  # our base is only remembered: it must be read before another writer is judged
    if (yield from _moved(attempt)):
        return False  # R1
    if owner.base == attempt.base.etag:
        yield from _outwait_or_fence(attempt, context)
        return False
    (reply,) = yield (attempt.slot_put(IfMatch(etag)),)
    if isinstance(reply, Written):
        return True
    found = yield from _slot(attempt)
    return found is not None and found[0].op == attempt.record.op


def _outwait_or_fence(attempt: Attempt, context: Context) -> Protocol[None]:
    """Gives the owner time to commit, then makes sure that it cannot."""
    for n in range(RIVAL.tries):
        yield RIVAL.half_jittered(n, context.ids)
        if (yield from _moved(attempt)):
            return
    yield (fence(attempt.keys, attempt.base, context),)


def _slot(attempt: Attempt) -> Protocol[tuple[Record, str] | None]:
    (reply,) = yield from ask(Get(attempt.slot))
    return None if isinstance(reply, Absent) else (decode(reply.body, attempt.slot), reply.etag)


def _moved(attempt: Attempt) -> Protocol[bool]:
    """Did `current.json` change since our attempt read it?"""
    (reply,) = yield from ask(Get(attempt.keys.current))
    return (reply.etag if isinstance(reply, StoredObject) else None) != attempt.base.etag
