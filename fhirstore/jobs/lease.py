"""A lease on the bucket: one object, changed only by compare-and-set, says who works on a job and until when.

*Claim*: GET the state; when nobody holds it, or the holder's time is over by the **store's** date, PUT If-Match with
epoch + 1. *Renew* (at a third of the time) and *checkpoint*: PUT If-Match on the ETag of one's own last PUT, so that a
zombie, whose lease was taken meanwhile, fails at its next write and stops. What a zombie does between two of its
writes must be harmless; a lease saves work, it does not guard data.

A lost answer is settled by reading back: our state there means done, the one before means send again, any other means
lost. Bodies differ by epoch, so what was once replaced never comes back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fhirstore.commit.backoff import CONTENDED, UNANSWERED
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Absent, Get, Protocol, Put
from fhirstore.commit.reading import ask
from fhirstore.errors import FhirStoreError, Unavailable
from fhirstore.jobs.state import State, after, claimed, decode_state, renewed
from fhirstore.objects.base import IF_ABSENT, Condition, IfMatch, Written


class LeaseLost(FhirStoreError):
    """Stop: another owner has claimed the job, or it was cancelled."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease held, as of one's own last write. `length`: ms from each write on."""

    key: str
    state: State
    etag: str
    length: int

    def due(self, now: int) -> bool:
        """Has a third of the lease gone by? Then renew it."""
        return now >= self.state.expires - self.length * 2 // 3


def claim(key: str, owner: str, *, context: Context, length: int) -> Protocol[tuple[Lease, int] | State]:
    """The lease and the store's date, or the state of the job that cannot be claimed. 1 GET + 1 PUT.

    Where there is no state yet, it begins as `State()`. Raises CorruptRecord, Unavailable.
    """
    for n in range(CONTENDED.tries):
        (reply,) = yield from ask(Get(key))
        state = State() if isinstance(reply, Absent) else decode_state(reply.body, key)
        mine = claimed(state, owner, now=reply.date, length=length)
        if mine is None:
            return state
        condition: Condition = IF_ABSENT if isinstance(reply, Absent) else IfMatch(reply.etag)
        etag = yield from _compare_and_set(key, mine, condition)
        if etag is not None:
            return Lease(key, mine, etag, length), reply.date
        yield CONTENDED.jittered(n, context.ids)
    raise Unavailable("Others keep claiming this job; try again later")


def checkpoint(lease: Lease, *, context: Context, work: Mapping[str, object] | None = None) -> Protocol[Lease]:
    """Hold the lease for another `length`, and keep the `work` done so far. 1 PUT. Raises LeaseLost, Unavailable."""
    return (yield from _step(lease, renewed(lease.state, now=context.now(), length=lease.length, work=work)))


def end(lease: Lease, event: str, *, work: Mapping[str, object] | None = None) -> Protocol[Lease]:
    """Give the lease up by `event`: RELEASE, COMPLETE, FAIL or CANCEL. 1 PUT. Raises LeaseLost, Unavailable."""
    return (yield from _step(lease, after(lease.state, event, work=work)))


def _step(lease: Lease, state: State | None) -> Protocol[Lease]:
    etag = None if state is None else (yield from _compare_and_set(lease.key, state, IfMatch(lease.etag)))
    if state is None or etag is None:
        raise LeaseLost("Another owner took this job over, or it was cancelled")
    return Lease(lease.key, state, etag, lease.length)


def _compare_and_set(key: str, state: State, condition: Condition) -> Protocol[str | None]:
    """The ETag of `state` once it is there; None: somebody else's is."""
    body = state.encode()
    before = condition.etag if isinstance(condition, IfMatch) else None
    for n in range(UNANSWERED.tries):
        (reply,) = yield (Put(key, body, condition),)
        if isinstance(reply, Written):
            return reply.etag
        (found,) = yield from ask(Get(key))
        if not isinstance(found, Absent) and found.body == body:
            return found.etag
        if (None if isinstance(found, Absent) else found.etag) != before:
            return None
        yield UNANSWERED.pause(n)
    raise Unavailable("The object store does not answer; try again later")
