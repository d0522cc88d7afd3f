"""Objects of a submission: read, written once, or changed by compare-and-set."""

from __future__ import annotations

from fhirstore.commit.backoff import UNANSWERED
from fhirstore.commit.drive import drive
from fhirstore.commit.messages import Absent, Expired, Get, Protocol, Put
from fhirstore.commit.reading import ask
from fhirstore.errors import Unavailable
from fhirstore.jobs.lease import LeaseLost
from fhirstore.objects.base import IF_ABSENT, Condition, IfMatch, ObjectStore, Written

_SILENT = "The object store does not answer; try again later"


async def body_of(objects: ObjectStore, key: str) -> bytes | None:
    """Returns an object's body; None where there is none. 1 GET. Raises Unavailable."""
    (reply,) = await drive(ask(Get(key)), objects)
    return None if isinstance(reply, Absent) else reply.body


def settle(key: str, body: bytes, *, until: int | None = None) -> Protocol[bytes]:
    """Writes an object that is written once. Returns its body: ours, or that of whoever was quicker. 1 PUT.

    Commit point: the PUT IfAbsent. `until`: epoch ms; the store refuses it later, for what only the owner of a lease
    may say. Raises LeaseLost when that is over; Unavailable, then it may be there or not.
    """
    for n in range(UNANSWERED.tries):
        (reply,) = yield (Put(key, body, IF_ABSENT, until),)
        if isinstance(reply, Written):
            return body
        (found,) = yield from ask(Get(key))
        if not isinstance(found, Absent):
            return found.body
        if isinstance(reply, Expired):
            raise LeaseLost("This worker has lost its job, and writes nothing more for it")
        yield UNANSWERED.pause(n)
    raise Unavailable(_SILENT)


def swap(key: str, body: bytes, condition: Condition, *, window: int | None = None) -> Protocol[bool]:
    """Changes an object that is changed by compare-and-set. Returns whether it is ours now. 1 PUT.

    `window`: epoch ms, as in `ObjectStore.put`. A lost reply is settled by reading, so bodies must never recur. Raises
    Unavailable; then it may be ours or not.
    """
    before = condition.etag if isinstance(condition, IfMatch) else None
    for n in range(UNANSWERED.tries):
        (reply,) = yield (Put(key, body, condition, window),)
        if isinstance(reply, Written):
            return True
        (found,) = yield from ask(Get(key))
        if not isinstance(found, Absent) and found.body == body:
            return True
        if (None if isinstance(found, Absent) else found.etag) != before:
            return False
        if isinstance(reply, Expired):
            break
        yield UNANSWERED.pause(n)
    raise Unavailable(_SILENT)
