"""What is left to do when a transaction is decided: its intents are made final, or rolled back.

Nothing depends on it: any process that meets such an intent can do the same (`intents`).
"""

from __future__ import annotations

from collections.abc import Sequence

from fhirstore.batched import batched
from fhirstore.commit.backoff import UNANSWERED
from fhirstore.commit.change import Change, in_groups
from fhirstore.commit.fence import rolled_back
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import NotApplied, Protocol, Put, Reply, Unknown
from fhirstore.commit.reading import glance
from fhirstore.commit.side_by_side import side_by_side
from fhirstore.objects.base import IfMatch, Written


def finish(changes: Sequence[Change], context: Context) -> Protocol[dict[str, str]]:
    """Makes the versions of a committed transaction final.

    Returns the new ETags, as far as known, by key of `current.json`.
    """
    etags: dict[str, str] = {}
    for some in batched(changes, context.limits.at_once):
        left = list(some)
        for n in range(UNANSWERED.tries):
            replies = yield tuple(_over_intent(change, change.record.encode()) for change in left)
            for change, reply in zip(left, replies, strict=True):
                if isinstance(reply, Written):
                    etags[change.keys.current] = reply.etag
            left = [change for change, reply in zip(left, replies, strict=True) if _again(reply)]
            if not left:
                break
            yield UNANSWERED.pause(n)
    return etags


def roll_back(changes: Sequence[Change], context: Context) -> Protocol[None]:
    """Takes back the intents of a transaction that is not committed, and that nobody can commit any more."""
    for group in in_groups([change for change in changes if change.begun], context.limits.at_once):
        yield from side_by_side([_roll_back(change, context) for change in group])


def _roll_back(change: Change, context: Context) -> Protocol[None]:
    for n in range(UNANSWERED.tries):
        base, _ = yield from glance(change.keys)
        if base.record is None or base.intent is None or base.intent.tx != change.plan.tx:
            return
        (reply,) = yield (Put(change.keys.current, rolled_back(base.record, context).encode(), base.unchanged),)
        if not _again(reply):
            return
        yield UNANSWERED.pause(n)


def _over_intent(change: Change, body: bytes) -> Put:
    assert change.placed is not None  # noqa: S101 - a transaction commits only when all its intents are there
    return Put(change.keys.current, body, IfMatch(change.placed))


def _again(reply: Reply) -> bool:
    return isinstance(reply, Unknown | NotApplied)
