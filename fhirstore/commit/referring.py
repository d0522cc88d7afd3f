"""The step of a write whose version has a payload, between its events and its commit point.

| round trip | requests |
|---|---|
| a | PUT the reference, `binary/{sha256}/refs/…`, when the slot and both events are there |
| b | GET the entry of the content: is it there still? A condemned one is made live again |

The reference comes before the look at the entry, because the sweeper looks for references after it has condemned the
entry: either the sweeper sees the reference, or this write sees that the content is condemned. The reference comes
after the events, because they lead the sweeper to it if this attempt never commits: their bodies have the hash.

Cost: 1 PUT and 1 GET more than a write without a payload, in two round trips.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from fhirstore.commit.attempt import Base
from fhirstore.commit.backoff import CONTENDED, UNANSWERED
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Absent, Expired, Get, Protocol, Put, Reply
from fhirstore.commit.moving_out import MovedOut
from fhirstore.commit.reading import ask
from fhirstore.commit.side_by_side import side_by_side
from fhirstore.errors import Issue, PayloadGone, RulesBroken
from fhirstore.format.keyspace import ResourceKeys
from fhirstore.format.marker import marked
from fhirstore.format.payload import Payload, decode_entry, used
from fhirstore.format.record import Record
from fhirstore.objects.base import IfMatch, Written

_GONE = "The content was removed, because nothing referred to it in time; upload it again"
_STRANGE = (
    "This Binary has the marker of a content that lies outside it, but the current version has no such content; "
    "send the content itself as data"
)


def with_payload(
    keys: ResourceKeys, base: Base, record: Record, given: Payload | None, moved: MovedOut | None
) -> Record:
    """Returns the record of a Binary, which is to follow `base`, with its payload if it has one.

    `given`: the payload that was uploaded for it; `moved`: its content, moved out by this write. Without either, a
    Binary with a marker keeps the payload of the current version. Raises RulesBroken if there is no such payload.
    """
    if record.resource is None:
        return record
    if moved is not None:
        return replace(record, resource=moved.build(record.version, record.t), payload=moved.payload, sha256=None)
    said = marked(record.resource)
    if said is None:
        return record
    shown = base.shown
    for payload in (given, shown.payload if shown is not None else None):
        if payload is not None and (payload.sha256, payload.size) == said:
            return replace(record, payload=payload)
    raise RulesBroken((Issue("business-rule", _STRANGE, ("Binary.data",)),))


def reference_put(keys: ResourceKeys, version: int, op: str, payload: Payload, expires: int) -> Put:
    """Returns the PUT of the reference. It follows the PUTs of slot and events."""
    return Put(keys.reference(payload.sha256, version, op), b"", expires=expires, follows=True)


def referred(put: Put, told: Reply) -> Protocol[bool]:
    """Sees to it that the reference is there. Returns False if its write window is over. Raises Unavailable."""
    for n in range(UNANSWERED.tries):
        if isinstance(told, Written):
            return True
        if isinstance(told, Expired):
            return False
        if n:
            yield UNANSWERED.pause(n)
        (told,) = yield (put,)
    return isinstance(told, Written)


def all_referred(puts: Sequence[Put]) -> Protocol[bool]:
    """Does the same for several references, sent side by side."""
    missing = tuple(puts)
    for n in range(UNANSWERED.tries):
        replies = yield missing
        if any(isinstance(reply, Expired) for reply in replies):
            return False
        missing = tuple(put for put, reply in zip(missing, replies, strict=True) if not isinstance(reply, Written))
        if not missing:
            return True
        yield UNANSWERED.pause(n)
    return False


def held(keys: ResourceKeys, payload: Payload, context: Context) -> Protocol[bool]:
    """Sees to it that the content is there and not about to be removed. The reference must be there already.

    Returns False if others kept writing the entry. Raises PayloadGone, Unavailable, CorruptRecord.
    """
    key = keys.payload_entry(payload.sha256)
    for n in range(CONTENDED.tries):
        (found,) = yield from ask(Get(key))
        if isinstance(found, Absent):
            raise PayloadGone(_GONE)
        entry = decode_entry(found.body, key)
        again = used(entry, payload, context.ids.new())
        if again is None:
            raise PayloadGone(_GONE)
        if entry.state == "live":
            return True
        (reply,) = yield (Put(key, again.encode(), IfMatch(found.etag)),)
        if isinstance(reply, Written):
            return True
        yield CONTENDED.jittered(n, context.ids)
    return False


def all_held(payloads: Sequence[tuple[ResourceKeys, Payload]], context: Context) -> Protocol[bool]:
    """Does the same for several contents. Raises the first error of any of them."""
    distinct = {payload.sha256: (keys, payload) for keys, payload in payloads}
    return all((yield from side_by_side([held(keys, payload, context) for keys, payload in distinct.values()])))
