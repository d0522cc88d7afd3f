"""The commit point, and how a protocol finds out what became of it when the reply does not say.

A lost reply, a 500, or a 412 that one's own first try may have caused is settled by reading `current.json`:

* it has our version: its op token says whether it is ours;
* it has a later version: the op token of the version object, or a `prior`, says whether ours was committed;
* it still has the base: if the ETag has changed, or the store's clock is past the write window, our PUT was not applied
  and cannot be applied any more; otherwise it is sent again.
"""

from __future__ import annotations

import msgspec

from fhirstore.commit.attempt import Attempt
from fhirstore.commit.backoff import SENDS, UNSETTLED, settling
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import NOT_APPLIED, NOT_SENT, Absent, Get, NotSent, Protocol, Put, Reply
from fhirstore.commit.reading import ask, reached
from fhirstore.errors import StoreFull, Unavailable, WriteOutcomeUnknown
from fhirstore.format.record import decode
from fhirstore.objects.base import Written

_PURGED = "The resource was purged meanwhile; whether this version was there is not known"


class Committed(msgspec.Struct, frozen=True):
    """The version is committed. `etag`: of `current.json`, if the store's reply was received."""

    etag: str | None


def commit(
    attempt: Attempt, context: Context, told: Reply = NOT_SENT, *, again: bool = True
) -> Protocol[Committed | None]:
    """Commits the attempt. Returns None if it is not committed and never can be. Raises WriteOutcomeUnknown, StoreFull.

    `told`: the reply to the commit, if it was sent in one batch with the requests that it follows. `again`: all of
    those were acknowledged, so that the commit may be sent again.
    """
    for n in range(UNSETTLED.tries):
        if n < SENDS and (again or n == 0):
            if n or isinstance(told, NotSent):
                told = yield from send(attempt.commit_put, again=n > 0)
            if isinstance(told, Written):
                return Committed(told.etag)
        try:
            verdict = yield from _verdict(attempt, context)
        except Unavailable as silent:
            raise WriteOutcomeUnknown("The object store went away around the commit; read back") from silent
        if verdict is not None:
            return Committed(None) if verdict else None
        yield settling(n)
    raise WriteOutcomeUnknown("The object store did not settle the commit; read back")


def send(commit_put: Put, *, again: bool) -> Protocol[Reply]:
    """PUTs the commit point. Raises StoreFull, but only at the first try.

    If it is sent `again`, an earlier one may have been applied, so the protocol must read, as after any other refusal.
    """
    try:
        (reply,) = yield (commit_put,)
    except StoreFull:
        if not again:
            raise
        return NOT_APPLIED
    return reply


def _verdict(attempt: Attempt, context: Context) -> Protocol[bool | None]:
    """Returns True if the attempt is committed, False if it cannot be any more, None if it still may be."""
    (reply,) = yield from ask(Get(attempt.keys.current))
    window_over = reply.date > attempt.expires + context.limits.apply
    if isinstance(reply, Absent):
        return False if window_over else None
    if reply.etag == attempt.base.etag:
        return False if window_over else None
    current = decode(reply.body, attempt.keys.current)
    if attempt.record.purged:
        # A purge has no slot, and the purge of another caller has the same effect.
        return current.floor >= attempt.record.floor
    if current.version < attempt.record.version:
        return False
    op = yield from reached(attempt.keys, current, attempt.record.version, since=reply.date, limits=context.limits)
    if op is None:
        raise WriteOutcomeUnknown(_PURGED)
    return op == attempt.record.op
