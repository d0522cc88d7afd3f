"""The commit point, and finding out what became of it when the answer does not say.

A lost answer, a 500, a 412 that may be the echo of one's own first try: each is settled by reading back. `current`
at our version: the op token decides. Beyond it: the token of the version that was passed decides. Still at the base: if
the ETag moved, or the store's clock is past the write window, our PUT did not land and cannot land any more; otherwise
send it again.
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
    """The version stands. `etag`: of `current.json` then, where the store's answer came through."""

    etag: str | None


def commit(
    attempt: Attempt, context: Context, told: Reply = NOT_SENT, *, again: bool = True
) -> Protocol[Committed | None]:
    """None: it is not committed, and never will be. Raises WriteOutcomeUnknown when nobody answers.

    `told`: the answer to the commit, where it was sent along with what it follows. `again`: all of that is known to be
    there, so that the commit may be sent once more.
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
    """PUT the commit point. Raises StoreFull, but not where it is sent `again`.

    Then an earlier one may have been applied, or still be: the protocol has to find out, as after any other refusal.
    """
    try:
        (reply,) = yield (commit_put,)
    except StoreFull:
        if not again:
            raise
        return NOT_APPLIED
    return reply


def _verdict(attempt: Attempt, context: Context) -> Protocol[bool | None]:
    """True: committed; False: cannot be any more; None: may still be."""
    (reply,) = yield from ask(Get(attempt.keys.current))
    window_over = reply.date > attempt.expires + context.limits.apply
    if isinstance(reply, Absent):
        return False if window_over else None
    if reply.etag == attempt.base.etag:
        return False if window_over else None
    current = decode(reply.body, attempt.keys.current)
    if attempt.record.method == "PURGE":
        return current.floor >= attempt.record.floor  # a purge has no slot; somebody else's does as well
    if current.version < attempt.record.version:
        return False
    op = yield from reached(attempt.keys, current, attempt.record.version, since=reply.date, limits=context.limits)
    if op is None:
        raise WriteOutcomeUnknown(_PURGED)
    return op == attempt.record.op
