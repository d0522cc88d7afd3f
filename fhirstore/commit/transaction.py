"""A transaction: the next versions of many resources become visible at the same moment, or none of them does.

| round trip | requests |
|---|---|
| 1 | GET each current (not for server-assigned ids); every part is decided: an error of one part ends the transaction |
| 2, in parallel | per part: PUT current If-Match → the old record plus an intent, PUT `_history/{v+1}` If-None-Match:*, PUT both events, PUT new index entries |
| 3 | PUT `tx/{txid}.json` committed If-None-Match:*: **the commit point**; the caller is answered |
| 4, afterwards | PUT each current If-Match(intent) → the new version |

Cost: N GET + 5N + 1 PUT, 3 round trips to the answer. All versions carry the same t and the same op token, the id of
the transaction. Every PUT up to the commit point carries the transaction's write window.

Any process that meets an intent reads the transaction's record (`reading`, `intents`). So no reader depends on round
trip 4, and any process can do it. Before round trip 3, any process can end the transaction by PUT aborted
If-None-Match:*; the record that is written first is final. An aborted transaction rolls back and starts over with a new
id and its old age; the older of two transactions wins.

A transaction with more than `Limits.at_once` requests sends them in several batches, one after the other.
"""  # noqa: E501 - a table row is one line

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from fhirstore.batched import batched
from fhirstore.commit.announcing import announce
from fhirstore.commit.attempt import NOTHING_YET, Base, next_record
from fhirstore.commit.backoff import CONTENDED, SENDS, UNSETTLED, settling
from fhirstore.commit.change import Change, Plan
from fhirstore.commit.finishing import finish, roll_back
from fhirstore.commit.intents import base_for
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Absent, Get, Protocol, Put
from fhirstore.commit.moving_out import MovedOut, moved_out
from fhirstore.commit.reading import ask, glance, reached
from fhirstore.commit.referring import all_held, all_referred, reference_put, with_payload
from fhirstore.commit.side_by_side import side_by_side
from fhirstore.commit.single import Decide, Draft, WriteResult
from fhirstore.commit.verdict import send
from fhirstore.errors import (
    Contention,
    ContentTooLarge,
    InvalidResource,
    PayloadGone,
    Unavailable,
    VersionConflict,
    WriteOutcomeUnknown,
)
from fhirstore.format.decision import COMMITTED, Decision, decode_decision
from fhirstore.format.keyspace import ResourceKeys
from fhirstore.format.payload import Payload
from fhirstore.format.record import Intent
from fhirstore.objects.base import IF_ABSENT, Written

_OVERDUE = 3  # attempts that took longer than their write window; a further one would not be faster


@dataclass(frozen=True, slots=True)
class Part:
    """What a transaction does to one resource. An error of `decide` ends the whole transaction.

    `fresh`: the id is new, so that no version is expected.
    """

    keys: ResourceKeys
    decide: Decide
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Transacted:
    """A committed transaction; the `results` are in the order of the parts.

    `finish`: round trip 4. The caller must run it once, after it has answered the client. It returns the new ETags, as
    far as known, by key of `current.json`; it may raise Unavailable.
    """

    results: tuple[WriteResult, ...]
    finish: Protocol[dict[str, str]] | None = None


@dataclass(slots=True)
class _Decided:
    """A part, its base, and its draft (None: nothing to do)."""

    part: Part
    base: Base
    draft: Draft | None = field(default=None)


Guard = Callable[[Intent], Protocol[None]]
"""What each attempt does first: it takes claims, so that no other writer creates a matching resource. May raise.

Its argument is the intent of the attempt, for the body of the claims.
"""


def transact(parts: Sequence[Part], *, context: Context, guard: Guard | None = None) -> Protocol[Transacted]:
    """Writes the next version of every part that has a draft, or of none. Commit point: PUT `tx/{txid}.json`.

    `guard`: runs before each attempt. Raises what `guard` or any `decide` raises; InvalidResource (one resource in two
    parts); ContentTooLarge (`Limits.held`); Contention, Unavailable (nothing was written); WriteOutcomeUnknown.
    """
    if len({part.keys for part in parts}) < len(parts):
        raise InvalidResource("A transaction names each resource once", code="duplicate")
    began = context.now()
    age, overdue = "", 0
    placed: dict[str, Payload] = {}
    for n in range(context.limits.attempts):
        tx = context.ids.new()
        age = age or f"{began:013d}-{tx}"
        if guard is not None:
            yield from guard(Intent(tx, 0, context.now(), age, len(parts)))
        decided = yield from _decide(parts, age, context, trusting=n == 0)
        moved = yield from _move_out(decided, placed, context)
        changes = _changes(decided, moved, tx, age, context)
        if not changes:
            return Transacted(tuple(_unchanged(one) for one in decided))
        try:
            announced = (yield from announce(changes, context)) and (yield from _refer(changes, context))
        except PayloadGone:
            yield from roll_back(changes, context)
            raise
        if announced and (yield from _commit(changes, context)):
            made = {change.keys: change.record for change in changes}
            results = tuple(
                _unchanged(one)
                if one.draft is None
                else WriteResult(made[one.part.keys], one.base.shown, applied=True, etag=None)
                for one in decided
            )
            return Transacted(results, finish(changes, context))
        yield from roll_back(changes, context)
        overdue += context.now() > changes[0].plan.expires
        if overdue == _OVERDUE:
            raise Unavailable(
                "The transaction takes longer than its write window; nothing was written, send less at once"
            )
        yield CONTENDED.jittered(n, context.ids)
    raise Contention("Others kept writing these resources; nothing was written, try again")


def _unchanged(one: _Decided) -> WriteResult:
    return WriteResult(one.base.shown, one.base.shown, applied=False, etag=one.base.etag)


def _decide(parts: Sequence[Part], age: str, context: Context, *, trusting: bool) -> Protocol[list[_Decided]]:
    """Does round trip 1. `trusting`: parts that are said to be fresh are not read."""
    found: dict[ResourceKeys, Base] = {part.keys: NOTHING_YET for part in parts if part.fresh and trusting}
    to_read = [part.keys for part in parts if part.keys not in found]
    yield from _read(to_read, found, age, context)
    decided = [_Decided(part, found[part.keys]) for part in parts]
    doubtful = [one for one in decided if not _wants(one)]
    if doubtful:  # they were not fresh after all
        yield from _read([one.part.keys for one in doubtful], found, age, context)
        for one in doubtful:
            one.base = found[one.part.keys]
            _wants(one)
    return decided


def _wants(one: _Decided) -> bool:
    """Asks the part for its draft. Returns False if it has none, but its base was not read yet."""
    try:
        one.draft = one.part.decide(one.base.shown)
    except VersionConflict:
        if one.base.whole:
            raise
        return False
    return one.base.whole or one.draft is not None


def _read(
    all_keys: Sequence[ResourceKeys], found: dict[ResourceKeys, Base], age: str, context: Context
) -> Protocol[None]:
    at_once, held = context.limits.at_once, 0
    for some in batched(all_keys, at_once):
        bases = yield from side_by_side([base_for(keys, context, age=age) for keys in some])
        held += sum(len(base.record.resource or b"") for base in bases if base.record is not None)
        if held > context.limits.held:
            raise ContentTooLarge(
                f"The resources that this transaction changes have more than {context.limits.held:,} bytes together;"
                " change fewer at once",
                code="too-costly",
            )
        found.update(zip(some, bases, strict=True))


def _move_out(
    decided: Sequence[_Decided], placed: dict[str, Payload], context: Context
) -> Protocol[dict[ResourceKeys, MovedOut]]:
    """Stores the large contents of Binaries, one after the other. No request without any."""
    moved: dict[ResourceKeys, MovedOut] = {}
    for one in decided:
        keys, draft = one.part.keys, one.draft
        if keys.type != "Binary" or draft is None or draft.build is None:
            continue
        out = yield from moved_out(keys, draft.build(one.base.version + 1, 0), placed, context=context)
        if out is not None:
            moved[keys] = out
    return moved


def _changes(
    decided: Sequence[_Decided], moved: Mapping[ResourceKeys, MovedOut], tx: str, age: str, context: Context
) -> list[Change]:
    wanted = [(one.part.keys, one.base, one.draft) for one in decided if one.draft is not None]
    now = context.now()
    t = max([now, *(base.record.t + 1 for _, base, _ in wanted if base.record is not None)])
    plan = Plan(tx, t, age, len(wanted), expires=now + context.limits.transaction_window)
    changes = []
    for keys, base, draft in wanted:
        record = next_record(base, draft.method, draft.build, t=t, op=tx, parts=plan.parts)
        if keys.type == "Binary":
            record = with_payload(keys, base, record, draft.payload, moved.get(keys))
        changes.append(Change.of(keys, base, record.with_digest(), plan, context.slot_facts(keys.type)))
    return changes


def _refer(changes: Sequence[Change], context: Context) -> Protocol[bool]:
    """Refers to the payloads of the versions (`referring`); no request without any. Returns False to start over.

    Raises PayloadGone.
    """
    referring = [(change, change.record.payload) for change in changes if change.record.payload is not None]
    for some in batched(referring, context.limits.at_once):
        puts = [
            reference_put(change.keys, change.record.version, change.record.op, payload, change.plan.expires)
            for change, payload in some
        ]
        if not (yield from all_referred(puts)):
            return False
    for some in batched(referring, context.limits.at_once):
        if not (yield from all_held([(change.keys, payload) for change, payload in some], context)):
            return False
    return True


def _commit(changes: Sequence[Change], context: Context) -> Protocol[bool]:
    """Does round trip 3, and finds out what became of it. Returns False if it is not committed and never can be.

    Raises WriteOutcomeUnknown.
    """
    plan = changes[0].plan
    key = changes[0].keys.transaction(plan.tx)
    parts = tuple((change.keys.type, change.keys.id, change.record.version) for change in changes)
    put = Put(key, Decision(COMMITTED, plan.t, plan.age, parts).encode(), IF_ABSENT, plan.expires)
    for n in range(UNSETTLED.tries):
        if n < SENDS:
            reply = yield from send(put, again=n > 0)
            if isinstance(reply, Written):
                return True
        try:
            (found,) = yield from ask(Get(key))
            if not isinstance(found, Absent):
                return decode_decision(found.body, key).committed
            if found.date > plan.expires + context.limits.apply:
                return (yield from _was_committed(changes[0], context))
        except Unavailable as silent:
            raise WriteOutcomeUnknown("The object store went away around the commit; read back") from silent
        yield settling(n)
    raise WriteOutcomeUnknown("The object store did not settle the commit; read back")


def _was_committed(change: Change, context: Context) -> Protocol[bool]:
    """Was the transaction committed, although its window is over and there is no record?

    Either none was written, or this process slept until all versions were final and the sweeper had removed the record.
    """
    base, date = yield from glance(change.keys)
    version = change.record.version
    if base.record is None or base.etag == change.placed or base.version < version:
        return False
    op = yield from reached(change.keys, base.record, version, since=date, limits=context.limits)
    if op is None:
        raise WriteOutcomeUnknown("A resource was purged meanwhile; whether this version was there is not known")
    return op == change.plan.tx
