"""Removes an orphan: first the slot of an attempt that can never commit, then its two events.

DELETE has no condition, so the slot of version v + 1 may be removed only while no writer can reserve it:

| step | requests |
|---|---|
| 1 | GET current, GET the slot: does it belong to this attempt, and is it above `current`? An old intent is cleared first |
| 2 | PUT current If-Match, the same record with a new nonce and `hold` = store's date + window; without a current, PUT a stub If-None-Match: * |
| 3 | DELETE the slot, with a window that ends `apply` before the hold does |

From step 2 on every attempt on the old ETag fails, and new ones wait until the hold is over; by then no copy of the
DELETE can be applied any more. The hold ends by itself. The events need no hold: after their attempt's window they can
neither be committed nor appear again. The reference of an attempt with a payload goes before its events, whose bodies
name the content.

Cost: 2 GET + 1 DELETE for an orphan without a slot; 1 PUT + 1 DELETE more with a slot; 2 GET more for a Binary.
"""  # noqa: E501 - a table row is one line

from __future__ import annotations

from dataclasses import dataclass

from fhirstore.commit.attempt import Base
from fhirstore.commit.backoff import CONTENDED, UNANSWERED
from fhirstore.commit.fence import with_hold
from fhirstore.commit.idempotent import removed
from fhirstore.commit.intents import clear
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Absent, Archived, Delete, Deleted, Expired, Get, Protocol, Put
from fhirstore.commit.reading import ask, ask_archive, glance
from fhirstore.errors import Contention, CorruptRecord, Unavailable
from fhirstore.format.keyspace import Event, Keyspace, ResourceKeys
from fhirstore.format.payload import is_sha256
from fhirstore.format.record import Record, decode
from fhirstore.objects.base import Written
from fhirstore.upkeep.sweep.walk import events_keys


@dataclass(frozen=True, slots=True)
class Removed:
    """Whether the slot and the events were removed."""

    slot: bool
    events: bool


def remove_orphan(keys: Keyspace, event: Event, *, context: Context) -> Protocol[Removed]:
    """Remove what is left of the attempt of `event`, unless it was committed or is too young.

    Raises Contention where others kept writing, Unavailable. The events are still there then; call it again.
    """
    slot = yield from remove_slot(keys.resource(event.type, event.id), event.version, event.op, context=context)
    if slot is None:
        return Removed(slot=False, events=False)
    yield from removed(*(yield from _references(keys, event)), *events_keys(keys, event))
    return Removed(slot=slot, events=True)


def _references(keys: Keyspace, event: Event) -> Protocol[list[str]]:
    """Returns the key of the attempt's reference to a payload, if it may have one."""
    if event.type != "Binary":
        return []
    resource = keys.resource(event.type, event.id)
    found = yield from ask(*(Get(key) for key in events_keys(keys, event)))
    hashes = {reply.body.decode("ascii", "replace") for reply in found if not isinstance(reply, Absent)}
    return [resource.reference(sha256, event.version, event.op) for sha256 in hashes if is_sha256(sha256)]


def remove_slot(keys: ResourceKeys, version: int, op: str | None, *, context: Context) -> Protocol[bool | None]:
    """Remove the slot of the attempt `op` (None: an unreadable slot) at `version`.

    Returns True: removed; False: there is none; None: the attempt may have committed or be alive, or its slot is
    damaged, and nothing was changed. Raises Contention, Unavailable, CorruptRecord (current).
    """
    for n in range(context.limits.attempts):
        base, date = yield from glance(keys)
        if base.intent is not None:
            if base.intent.t + context.limits.settled >= date:
                return None  # of a transaction that may be alive, and decides about this slot too
            yield from clear(keys, base, context)
            continue
        (reply,) = yield from ask_archive(Get(keys.version(version)))
        if isinstance(reply, Absent):
            return False
        if isinstance(reply, Archived):
            return None
        slot = _slot(reply.body)
        if slot is None and op is not None:
            return None
        if slot is not None and slot.op != op:
            return False
        if base.record is not None and version <= base.record.floor:
            yield from removed(keys.version(version))  # purged: this number is never used again
            return True
        if base.version >= version or (slot is not None and slot.t + context.limits.settled >= date):
            return None
        if (yield from _hold_and_delete(keys, base, version, date, context)):
            return True
        yield CONTENDED.jittered(n, context.ids)
    raise Contention("Others kept writing this resource; its orphan slot stays for the next sweep")


def _slot(body: bytes) -> Record | None:
    try:
        return decode(body, "")
    except CorruptRecord:
        return None


def _hold_and_delete(keys: ResourceKeys, base: Base, version: int, date: int, context: Context) -> Protocol[bool]:
    nonce = context.ids.new()
    held = with_hold(base.record, nonce, date + context.limits.window)
    (reply,) = yield (Put(keys.current, held.encode(), base.unchanged, date + context.limits.window),)
    if not isinstance(reply, Written):
        now, _ = yield from glance(keys)
        if now.record is None or now.record.fence != nonce:
            return False
    delete = Delete((keys.version(version),), expires=held.hold - context.limits.apply)
    for n in range(UNANSWERED.tries):
        (reply,) = yield (delete,)
        if isinstance(reply, Deleted):
            return True
        if isinstance(reply, Expired):
            return False
        yield UNANSWERED.pause(n)
    raise Unavailable("The object store does not answer; an orphan slot stays for the next sweep")
