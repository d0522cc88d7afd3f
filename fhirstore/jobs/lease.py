"""A lease: one object in the bucket says who works on a job and until when. It is changed only by compare-and-set.

*Claim*: GET the state. If nobody holds it, or its time is over by the **store's** date, PUT If-Match with epoch + 1.
*Renew* (after a third of the time) and *checkpoint*: PUT If-Match on the ETag of one's own last PUT. An owner whose
lease was taken by another one (a zombie) fails at its next PUT and stops. What a zombie does until then must be
harmless: a lease saves work, it does not protect data.

A lost reply is settled by reading: if our state is there, the PUT was applied; if the state before is there, it is
sent again; if any other is there, the lease is lost. Each claim has another epoch, so a state that was replaced never
recurs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fhirstore.commit.backoff import CONTENDED, UNANSWERED
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Absent, Expired, Get, Protocol, Put
from fhirstore.commit.reading import ask
from fhirstore.errors import FhirStoreError, Unavailable
from fhirstore.jobs.state import State, after, claimed, decode_state, renewed
from fhirstore.objects.base import IF_ABSENT, Condition, IfMatch, Written

_SILENT = "The object store does not answer; try again later"


class LeaseLost(FhirStoreError):
    """Another owner has claimed the job, or it was cancelled. The caller must stop working on it."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease that we hold, as of our last write. `length`: ms from each write on."""

    key: str
    state: State
    etag: str
    length: int

    def due(self, now: int) -> bool:
        """Is a third of the lease over, so that it should be renewed?"""
        return now >= self.state.expires - self.length * 2 // 3


def claim(key: str, owner: str, *, context: Context, length: int) -> Protocol[tuple[Lease, int] | State]:
    """Claims the job. Returns the lease and the store's date, or the state of a job that cannot be claimed.

    A job without a state starts as `State()`. Cost: 1 GET + 1 PUT. Raises CorruptRecord, Unavailable.
    """
    got = yield from _claim(key, owner, State(), context=context, length=length)
    return State() if got is None else got


def claim_existing(key: str, owner: str, *, context: Context, length: int) -> Protocol[Lease | State | None]:
    """Claims a job that was created. Returns the lease, or the state that cannot be claimed; None without a state.

    Cost: 1 GET + 1 PUT. Raises CorruptRecord, Unavailable.
    """
    got = yield from _claim(key, owner, None, context=context, length=length)
    return got[0] if isinstance(got, tuple) else got


def checkpoint(lease: Lease, *, context: Context, work: Mapping[str, object] | None = None) -> Protocol[Lease]:
    """Renews the lease for `length` ms and stores the `work` done so far. 1 PUT. Raises LeaseLost, Unavailable."""
    return (yield from _step(lease, renewed(lease.state, now=context.now(), length=lease.length, work=work)))


def end(lease: Lease, event: str, *, work: Mapping[str, object] | None = None, until: int = 0) -> Protocol[Lease]:
    """Gives the lease up by `event`: RELEASE, RETRY, COMPLETE or FAIL. 1 PUT. Raises LeaseLost, Unavailable.

    `until`: after RELEASE and RETRY nobody may claim the job up to this time, epoch ms.
    """
    return (yield from _step(lease, after(lease.state, event, work=work, until=until)))


def change(key: str, decide: Callable[[State, int], State | None], *, context: Context) -> Protocol[State | None]:
    """Changes the state of a job that this process need not own. Returns the state then; None if there is none.

    `decide`: the new state for the present one and the store's date; None leaves it. Each change is a compare-and-set,
    and is decided anew after each one that somebody else was quicker with. Raises CorruptRecord, Unavailable.
    """
    for n in range(CONTENDED.tries):
        (reply,) = yield from ask(Get(key))
        if isinstance(reply, Absent):
            return None
        state = decode_state(reply.body, key)
        new = decide(state, reply.date)
        if new is None:
            return state
        if (yield from compare_and_set(key, new.encode(), IfMatch(reply.etag))) is not None:
            return new
        yield CONTENDED.jittered(n, context.ids)
    raise Unavailable("Others keep changing this job; try again later")


def _claim(
    key: str, owner: str, first: State | None, *, context: Context, length: int
) -> Protocol[tuple[Lease, int] | State | None]:
    for n in range(CONTENDED.tries):
        (reply,) = yield from ask(Get(key))
        state = first if isinstance(reply, Absent) else decode_state(reply.body, key)
        if state is None:
            return None
        mine = claimed(state, owner, now=reply.date, length=length)
        if mine is None:
            return state
        condition: Condition = IF_ABSENT if isinstance(reply, Absent) else IfMatch(reply.etag)
        etag = yield from compare_and_set(key, mine.encode(), condition)
        if etag is not None:
            return Lease(key, mine, etag, length), reply.date
        yield CONTENDED.jittered(n, context.ids)
    raise Unavailable("Others keep claiming this job; try again later")


def _step(lease: Lease, state: State | None) -> Protocol[Lease]:
    etag = None if state is None else (yield from compare_and_set(lease.key, state.encode(), IfMatch(lease.etag)))
    if state is None or etag is None:
        raise LeaseLost("Another owner took this job over, or it was cancelled")
    return Lease(lease.key, state, etag, lease.length)


def compare_and_set(key: str, body: bytes, condition: Condition, *, window: int | None = None) -> Protocol[str | None]:
    """Changes an object that is changed by compare-and-set alone. Returns its ETag; None if another is there. 1 PUT.

    `window`: epoch ms, as in `ObjectStore.put`. A lost reply is settled by reading, so bodies must never recur. Raises
    Unavailable; then the change may be applied or not.
    """
    before = condition.etag if isinstance(condition, IfMatch) else None
    for n in range(UNANSWERED.tries):
        (reply,) = yield (Put(key, body, condition, window),)
        if isinstance(reply, Written):
            return reply.etag
        (found,) = yield from ask(Get(key))
        if not isinstance(found, Absent) and found.body == body:
            return found.etag
        if (None if isinstance(found, Absent) else found.etag) != before:
            return None
        if isinstance(reply, Expired):
            break
        yield UNANSWERED.pause(n)
    raise Unavailable(_SILENT)


def put_once(key: str, body: bytes, *, until: int | None = None) -> Protocol[bytes]:
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
