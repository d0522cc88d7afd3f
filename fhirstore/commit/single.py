"""One write of one resource: create, update or delete.

| round trip | requests |
|---|---|
| 1 | GET current (not for a server-assigned id, nor where this process remembers its ETag) |
| 2, in parallel | PUT `_history/{v+1}` If-None-Match:* (reserves the slot), PUT both events, PUT new index entries |
| 3 | PUT current If-Match(base), or If-None-Match:* for a first version: **the commit point** |

A version with a payload has two more round trips before 3 (`referring`). For the others, round trips 2 and 3 are one
batch, in which the commit follows the others (`staging`); the embedded store performs it as one database transaction.
Each PUT carries the write window, so that nothing of this attempt appears on the store after its end. Nothing is
visible before the commit point, and nothing is left to do after it. An attempt that cannot commit leaves orphans (a
slot, events) that no reader believes; the next attempt has a new op token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from fhirstore.commit.abandoned import take_over
from fhirstore.commit.attempt import NOTHING_YET, Attempt, Base, body_beside, keys_beside, next_record
from fhirstore.commit.backoff import CONTENDED, UNANSWERED
from fhirstore.commit.intents import base_for
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Expired, NotSent, Protocol, Put, Reply
from fhirstore.commit.moving_out import MovedOut, moved_out
from fhirstore.commit.referring import held, reference_put, referred, with_payload
from fhirstore.commit.verdict import Committed, commit
from fhirstore.errors import Contention, RulesBroken, VersionConflict
from fhirstore.format.keyspace import ResourceKeys
from fhirstore.format.payload import Payload
from fhirstore.format.record import Record
from fhirstore.objects.base import IF_ABSENT, Written


class Draft(msgspec.Struct, frozen=True):
    """The next version that an interaction wants to write.

    `method`: the HTTP verb. `build(version, t)` returns the resource's bytes; None makes a tombstone. `unverified`: the
    resources (type and id) it refers to that nobody has looked for yet, with the place of each reference; a draft with
    such references is not written. `payload`: the content, uploaded before, that its marker names.
    """

    method: str
    build: Callable[[int, int], bytes] | None
    unverified: Mapping[tuple[str, str], str] | None = None
    payload: Payload | None = None


Decide = Callable[[Record | None], Draft | None]
"""Takes the current record (None: no version yet), returns the next draft (None: nothing to do). May raise FhirError.

It is called again if other writers were faster.
"""


class WriteResult(msgspec.Struct, frozen=True):
    """`record`: the current version now. `before`: the one before this write. `applied`: a version was written.

    `etag`: of `current.json` when `record` was read or written; None if it is not known. `unverified`: as in the draft,
    which was not written for that reason; the caller looks for these resources and then writes again.
    """

    record: Record | None
    before: Record | None
    applied: bool
    etag: str | None
    unverified: Mapping[tuple[str, str], str] | None = None

    @property
    def created(self) -> bool:
        """Did this write create the resource, or bring it back after a deletion?"""
        there = self.record is not None and not self.record.deleted
        return self.applied and there and (self.before is None or self.before.deleted)


def write(
    keys: ResourceKeys,
    decide: Decide,
    *,
    context: Context,
    fresh: bool = False,
    remembered: Base | None = None,
) -> Protocol[WriteResult]:
    """Writes the next version. Commit point: PUT `current.json`.

    `fresh`: the id is new, so that no version is expected. `remembered`: the base that this process saw last, for a
    `decide` that does not look at the content. Either saves round trip 1; if it is wrong, the write starts over with a
    GET. Raises what `decide` raises; Contention, Unavailable (nothing was written); WriteOutcomeUnknown.
    """
    placed: dict[str, Payload] = {}
    for n in range(context.limits.attempts):
        guess = NOTHING_YET if fresh else remembered
        base = guess if guess is not None and n == 0 and not guess.held else (yield from base_for(keys, context))
        before = base.shown
        try:
            draft = decide(before)
        except VersionConflict:
            if base.whole:
                raise
            continue
        if draft is None:
            if base.whole:
                return WriteResult(before, before, applied=False, etag=base.etag)
            continue
        if draft.unverified:
            return WriteResult(before, before, applied=False, etag=base.etag, unverified=draft.unverified)
        moved = None
        if keys.type == "Binary" and draft.build is not None:
            resource = draft.build(base.version + 1, 0)
            moved = yield from moved_out(keys, resource, placed, context=context)
        try:
            attempt = _attempt(keys, base, draft, moved, context)
        except RulesBroken:
            if not base.whole:
                continue
            raise
        committed = yield from _carry_out(attempt, context)
        if committed is not None:
            return WriteResult(attempt.record, before, applied=True, etag=committed.etag)
        if base.whole:
            yield CONTENDED.jittered(n, context.ids)
    raise Contention("Others kept writing this resource; nothing was written, try again")


def _attempt(keys: ResourceKeys, base: Base, draft: Draft, moved: MovedOut | None, context: Context) -> Attempt:
    now = context.now()
    t = now if base.record is None else max(now, base.record.t + 1)
    record = next_record(base, draft.method, draft.build, t=t, op=context.ids.new())
    if keys.type == "Binary":
        record = with_payload(keys, base, record, draft.payload, moved)
    beside = keys_beside(keys, base, record)
    expires, facts = now + context.limits.window, context.slot_facts(keys.type)
    return Attempt(keys, base, record, record.encode(), expires=expires, beside=beside, facts=facts)


def _carry_out(attempt: Attempt, context: Context) -> Protocol[Committed | None]:
    """Does round trips 2 and 3, which are one on some stores. Returns None to start over."""
    body = body_beside(attempt.record)
    beside = tuple([Put(key, body, expires=attempt.expires) for key in attempt.beside])
    reservation = attempt.slot_put(IF_ABSENT)
    payload = attempt.record.payload
    if payload is not None:
        return (yield from _carry_out_with(payload, attempt, (reservation, *beside), context))
    slot, *rest, told = yield (reservation, *beside, attempt.commit_put)
    if not isinstance(told, NotSent):  # it was sent, so the write must not start over before its verdict is known
        reserved = all(isinstance(reply, Written) for reply in (slot, *rest))
        return (yield from commit(attempt, context, told, again=reserved))
    if not isinstance(slot, Written) and not (yield from take_over(attempt, context)):
        return None
    if not (yield from _completed(beside, rest)):
        return None
    return (yield from commit(attempt, context))


def _carry_out_with(
    payload: Payload, attempt: Attempt, first: tuple[Put, ...], context: Context
) -> Protocol[Committed | None]:
    """Does the same for a version with a payload. `first`: the PUTs of round trip 2. Raises PayloadGone."""
    reference = reference_put(attempt.keys, attempt.record.version, attempt.record.op, payload, attempt.expires)
    slot, *rest, told = yield (*first, reference)
    if not isinstance(slot, Written) and not (yield from take_over(attempt, context)):
        return None
    if not (yield from _completed(first[1:], rest)):
        return None
    if not (yield from referred(reference, told)) or not (yield from held(attempt.keys, payload, context)):
        return None
    return (yield from commit(attempt, context))


def _completed(beside: tuple[Put, ...], rest: Sequence[Reply]) -> Protocol[bool]:
    """Sees to it that both events and the index entries are there. Returns False to start over."""
    missing = tuple(put for put, reply in zip(beside, rest, strict=True) if not isinstance(reply, Written))
    for n in range(UNANSWERED.tries):
        if not missing:
            return True
        if any(isinstance(reply, Expired) for reply in rest):
            return False
        yield UNANSWERED.pause(n)
        rest = yield missing
        missing = tuple(put for put, reply in zip(missing, rest, strict=True) if not isinstance(reply, Written))
    return not missing
