"""The slot is taken: by a writer that is alive, or by one that died between its reservation and its commit.

Nobody can tell which by waiting alone, and clocks are not to be trusted, so the protocol makes sure instead. It
*fences*: PUT current If-Match(base) with the same content and a new nonce. The ETag moves, and as ETags never recur,
a writer whose attempt builds on the old one can never commit any more. Then its slot may be written over.

R1: judge an owner dead only after re-reading `current` *after* reading its slot. (Between our GET of current and our
GET of the slot, the owner may have committed.)
"""

from __future__ import annotations

from fhirstore.commit.attempt import Attempt
from fhirstore.commit.backoff import RIVAL
from fhirstore.commit.fence import fence
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Absent, Get, Protocol, Put
from fhirstore.commit.reading import ask
from fhirstore.format.record import Record, decode
from fhirstore.objects.base import IfMatch, StoredObject, Written


def take_over(attempt: Attempt, context: Context) -> Protocol[bool]:
    """Our PUT of the slot was not acknowledged. True: the slot is ours after all. False: start over."""
    found = yield from _slot(attempt)
    if found is None:
        return False  # the reservation did not land; if it ever does, it is an orphan
    owner, etag = found
    if owner.op == attempt.record.op:
        return True  # it was applied and the answer lost
    if not attempt.base.whole:
        return False  # our base is only remembered: read it before judging anybody
    if (yield from _moved(attempt)):
        return False  # R1
    if owner.base == attempt.base.etag:
        yield from _outwait_or_fence(attempt, context)
        return False
    (reply,) = yield (Put(attempt.slot, attempt.body, IfMatch(etag), attempt.expires),)
    if isinstance(reply, Written):
        return True
    found = yield from _slot(attempt)
    return found is not None and found[0].op == attempt.record.op


def _outwait_or_fence(attempt: Attempt, context: Context) -> Protocol[None]:
    """Give the owner time to commit; then make sure that it cannot."""
    for n in range(RIVAL.tries):
        yield RIVAL.half_jittered(n, context.ids)
        if (yield from _moved(attempt)):
            return
    yield (fence(attempt.keys, attempt.base, context),)


def _slot(attempt: Attempt) -> Protocol[tuple[Record, str] | None]:
    (reply,) = yield from ask(Get(attempt.slot))
    return None if isinstance(reply, Absent) else (decode(reply.body, attempt.slot), reply.etag)


def _moved(attempt: Attempt) -> Protocol[bool]:
    """Is `current` another than the one our attempt builds on?"""
    (reply,) = yield from ask(Get(attempt.keys.current))
    return (reply.etag if isinstance(reply, StoredObject) else None) != attempt.base.etag
