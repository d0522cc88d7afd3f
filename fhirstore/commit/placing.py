"""Makes a content that was uploaded one that versions can refer to: the protocol of its entry.

| step | requests |
|---|---|
| 1 | PUT entry If-None-Match:* → `arriving`, names the new object; if there is an entry: GET it, PUT If-Match |
| 2 | the object: PUT it, or complete its multipart upload. Not if the content is there already: then it is shared |
| 3 | PUT entry If-Match → `live` |

So an object is named by an entry before it exists: whatever a crash leaves is found by the sweeper. Of several uploads
of one content at the same time, the first that is complete counts; the others delete theirs. The content must be
referred to by a commit (`referring`) within a day; until then the sweeper leaves it alone.

Cost: 2 PUT besides the object; for a content that is there already 2 PUT and 1 GET.
"""

from __future__ import annotations

import msgspec

from fhirstore.commit.backoff import CONTENDED
from fhirstore.commit.idempotent import removed, stored_once
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Absent, Get, Protocol, Put
from fhirstore.commit.reading import ask
from fhirstore.errors import Contention, PayloadGone
from fhirstore.format.digest import sha256
from fhirstore.format.keyspace import Keyspace
from fhirstore.format.payload import Entry, Payload, arrived, completed, decode_entry, payload_object
from fhirstore.objects.base import IF_ABSENT, Condition, IfMatch, Written
from fhirstore.objects.facts import Facts

_TOO_LATE = "The upload took so long that it was given up; upload the content again"
_CONTENDED = "Others kept uploading this content; nothing was written, try again"
_TRIES = 20  # writers of one entry at the same time are few, and each write of it is quick


def place(keys: Keyspace, content: bytes, facts: Facts | None, *, context: Context) -> Protocol[Payload]:
    """Stores a content that is in memory. Returns its payload. Raises Contention, Unavailable, StoreFull."""
    payload = Payload(sha256(content), len(content), payload_object(context.ids.new()))
    arriving = yield from arrive(keys, payload, context=context)
    if isinstance(arriving, Payload):
        return arriving
    expires = context.now() + context.limits.transaction_window
    yield from stored_once(keys.prefix + payload.object, content, facts, expires=expires)
    return (yield from complete(keys, payload, arriving, context=context))


class Arriving(msgspec.Struct, frozen=True):
    """An entry that names an object which is about to be completed, and its ETag."""

    entry: Entry
    etag: str


def arrive(keys: Keyspace, payload: Payload, *, context: Context) -> Protocol[Payload | Arriving]:
    """Does step 1. Returns the payload to share, or what the caller needs for step 3 after it has done step 2.

    Raises PayloadGone (this object was given up before), Contention, Unavailable, CorruptRecord.
    """
    key = keys.payload_entry(payload.sha256)
    entry: Entry | None = None
    condition: Condition = IF_ABSENT
    for n in range(_TRIES):
        wanted = arrived(entry, payload, context.ids.new())
        (reply,) = yield (Put(key, wanted.encode(), condition),)
        if isinstance(reply, Written):
            return wanted.payload if wanted.state == "live" else Arriving(wanted, reply.etag)
        if n:
            yield CONTENDED.jittered(n, context.ids)
        (found,) = yield from ask(Get(key))
        if isinstance(found, Absent):
            entry, condition = None, IF_ABSENT
            continue
        entry, condition = decode_entry(found.body, key), IfMatch(found.etag)
        if payload.object in entry.arriving:
            return Arriving(entry, found.etag)  # it was applied, and the reply was lost
        if payload.object in entry.waste:
            raise PayloadGone(_TOO_LATE)
    raise Contention(_CONTENDED)


def complete(
    keys: Keyspace, payload: Payload, arriving: Arriving, *, context: Context, drop: bool = True
) -> Protocol[Payload]:
    """Does step 3, when the object is there. Returns the payload that counts.

    If that is another one, the object is deleted. Without `drop` it stays, because others may go on with it.

    The entry goes on naming an object that was deleted: a late copy of its PUT may make it once more, for the sweeper.

    Raises PayloadGone where the upload was given up meanwhile, Contention, Unavailable, CorruptRecord.
    """
    key = keys.payload_entry(payload.sha256)
    entry: Entry | None = arriving.entry
    etag = arriving.etag
    for n in range(_TRIES):
        if entry is not None and entry.state == "live" and entry.object == payload.object:
            return payload
        wanted = completed(entry, payload.object, context.ids.new())
        if drop and (wanted is None or wanted.object != payload.object):
            yield from removed(keys.prefix + payload.object)
        if wanted is None:
            raise PayloadGone(_TOO_LATE)
        (reply,) = yield (Put(key, wanted.encode(), IfMatch(etag)),)
        if isinstance(reply, Written):
            return wanted.payload
        if n:
            yield CONTENDED.jittered(n, context.ids)
        (found,) = yield from ask(Get(key))
        entry = None
        if not isinstance(found, Absent):
            entry, etag = decode_entry(found.body, key), found.etag
    raise Contention(_CONTENDED)
