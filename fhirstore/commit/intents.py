"""What a writer does about an intent in `current.json`: it decides the transaction if need be, and clears the intent.

Nobody builds on a `current.json` with an intent. Once the transaction is decided, anyone who meets its intent makes
the new version final (PUT current If-Match, with the bytes of the version object), or rolls it back (the old record,
under a nonce of its own, since ETags must never recur). Both are harmless to repeat and to lose.

An undecided transaction may be alive. Between two transactions the older one wins, so nobody waits in a circle: the
older aborts the younger at once. Everybody else waits as long as `Limits` say, or until its window is over, and then
takes it for abandoned. To decide it is PUT `tx/{txid}.json` aborted If-None-Match:*; whichever record lands first
stands. If that is wrong about the living, they lose an attempt and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

from fhirstore.commit.attempt import Base
from fhirstore.commit.backoff import CONTENDED, SHUT_OUTS, undecided, until_past
from fhirstore.commit.fence import rolled_back
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Absent, Get, Protocol, Put
from fhirstore.commit.reading import ask, glance
from fhirstore.errors import CorruptRecord, Unavailable
from fhirstore.format.decision import ABORTED, Decision, decode_decision
from fhirstore.format.keyspace import ResourceKeys
from fhirstore.format.record import Intent, decode
from fhirstore.objects.base import IF_ABSENT, StoredObject, Written


def base_for(keys: ResourceKeys, context: Context, *, age: str | None = None) -> Protocol[Base]:
    """GET current, for an attempt to build on: without an intent; where a sweeper holds it, once its hold is over.

    `age`: that of the transaction that asks. Raises Unavailable, CorruptRecord.
    """
    while True:
        base, date = yield from firm(keys, context, age=age)
        hold = base.record.hold if base.record is not None else 0
        if hold < date:
            return base
        yield until_past(hold, date)


def firm(keys: ResourceKeys, context: Context, *, age: str | None = None) -> Protocol[tuple[Base, int]]:
    """`current.json` as it is when no intent stands there any more, and the store's date then."""
    while True:
        base, date = yield from glance(keys)
        if base.intent is None:
            return base, date
        yield from clear(keys, base, context, age=age)


def clear(keys: ResourceKeys, base: Base, context: Context, *, age: str | None = None) -> Protocol[None]:
    """Make final or roll back what the intent in `base` stands for; or see that somebody else did."""
    current, intent = base.record, base.intent
    if current is None or intent is None:
        return
    decision = yield from decided(intent, Stands(keys.transaction(intent.tx), keys.current, base.etag), context, age)
    if decision is None:
        return
    if decision.committed:
        final = yield from _final(keys, intent, base)
    else:
        final = rolled_back(current, context).encode()
    if final is not None:
        yield (Put(keys.current, final, base.unchanged),)


def _final(keys: ResourceKeys, intent: Intent, base: Base) -> Protocol[bytes | None]:
    """The bytes of the version object. None: it was made final, and purged, meanwhile."""
    key = keys.version(intent.v)
    (slot,) = yield from ask(Get(key))
    if isinstance(slot, StoredObject) and decode(slot.body, key).op == intent.tx:
        return slot.body
    (again,) = yield from ask(Get(keys.current))
    if isinstance(again, StoredObject) and again.etag == base.etag:
        raise CorruptRecord(key)
    return None


@dataclass(frozen=True, slots=True)
class Stands:
    """Where an intent was found: in the object `key` under this ETag. `record`: the key of its transaction's record."""

    record: str
    key: str
    etag: str | None


def decided(intent: Intent, stands: Stands, context: Context, age: str | None) -> Protocol[Decision | None]:
    """What became of the transaction, which is decided now at the latest; None: its intent is gone meanwhile.

    `age`: that of the transaction that asks. Raises Unavailable, CorruptRecord.
    """
    key, limits = stands.record, context.limits
    patience = (limits.patience + limits.patience_per_part * intent.parts) / 1000
    older = age is not None and age < intent.age
    waited, tries = 0.0, 0
    while tries < SHUT_OUTS:
        (found,) = yield from ask(Get(key))
        if isinstance(found, StoredObject):
            return decode_decision(found.body, key)
        (again,) = yield from ask(Get(stands.key))
        if isinstance(again, Absent) or again.etag != stands.etag:
            return None
        over = intent.t + limits.transaction_window + limits.apply < again.date
        if older or over or waited >= patience:
            tries += 1
            aborted = Decision(ABORTED, intent.t, intent.age, by=age if older else None)
            # By the store's date, as one's own clock may be wrong; and by that at which there was no record, so that
            # this one cannot land when another has come and gone (see `Limits.keep_transactions`).
            (reply,) = yield (Put(key, aborted.encode(), IF_ABSENT, found.date + limits.window),)
            if not isinstance(reply, Written):
                yield CONTENDED.pause(tries - 1)
        else:
            pause = undecided(waited, context.ids)
            waited += pause.seconds
            yield pause
    raise Unavailable("The object store does not let a transaction be decided; try again later")
