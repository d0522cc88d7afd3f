"""What a writer does that meets an intent in `current.json`: it decides the transaction, and clears the intent.

No attempt may build on a `current.json` with an intent. When the transaction is decided, any writer that meets its
intent makes the new version final (PUT current.json If-Match, with the bytes of the version object), or rolls it back
(the old record under a new nonce, because ETags must never recur). Both may be repeated, and both may be lost.

An undecided transaction may be alive. Between two transactions the older one wins, so that there is no circular wait:
the older one aborts the younger at once. Every other writer waits for `Limits.patience`, or until the transaction's
write window is over, and then aborts it: PUT `tx/{txid}.json` aborted, If-None-Match:*. The record that is written
first is final. A living transaction that is aborted by mistake loses one attempt and nothing else.
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
    """Returns a base that an attempt may build on: without an intent, and when no sweeper holds it.

    1 GET, more only if there is an intent or a hold. `age`: of the transaction that asks. Raises Unavailable,
    CorruptRecord.
    """
    while True:
        base, date = yield from firm(keys, context, age=age)
        hold = base.record.hold if base.record is not None else 0
        if hold < date:
            return base
        yield until_past(hold, date)


def firm(keys: ResourceKeys, context: Context, *, age: str | None = None) -> Protocol[tuple[Base, int]]:
    """Clears any intent in `current.json`. Returns what is there when it has none, and the store's date then."""
    while True:
        base, date = yield from glance(keys)
        if base.intent is None:
            return base, date
        yield from clear(keys, base, context, age=age)


def clear(keys: ResourceKeys, base: Base, context: Context, *, age: str | None = None) -> Protocol[None]:
    """Decides the transaction whose intent is in `base`, and makes its version final or rolls it back.

    Does nothing if the intent is gone. Raises Unavailable, CorruptRecord.
    """
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
    """Returns the bytes of the version object; None if the version was made final, and then purged, in between."""
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
    """Where an intent was found: in the object `key` with this ETag. `record`: the key of its transaction's record."""

    record: str
    key: str
    etag: str | None


def decided(intent: Intent, stands: Stands, context: Context, age: str | None) -> Protocol[Decision | None]:
    """Returns the decision on the transaction; aborts it, after some time, if there is none. None: its intent is gone.

    `age`: of the transaction that asks; None for any other writer. Raises Unavailable, CorruptRecord.
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
            # The window starts at the store's date, because our own clock may be wrong; and at the date when there was
            # no record, so that ours cannot be written after another one was removed (`Limits.keep_transactions`).
            (reply,) = yield (Put(key, aborted.encode(), IF_ABSENT, found.date + limits.window),)
            if not isinstance(reply, Written):
                yield CONTENDED.pause(tries - 1)
        else:
            pause = undecided(waited, context.ids)
            waited += pause.seconds
            yield pause
    raise Unavailable("The object store does not let a transaction be decided; try again later")
