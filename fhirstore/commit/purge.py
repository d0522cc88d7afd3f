"""Purge: the physical removal of one resource's versions and history. A stub stays, so that no number is used twice.

| step | requests |
|---|---|
| 1 | GET current |
| 2 | PUT the audit line: who purges |
| 3 | PUT current If-Match → PURGE record with version = floor = the last version: **the commit point** |
| 4 | wait until the write windows of the purged versions are over, so that no late request can restore an object |
| 5 | LIST `_history/`; per batch: GET the versions, DELETE their events and index entries, then the versions |

From step 3 on, readers do not see the resource. Histories below the sweeper's watermark trust the events, so they may
show it until the end of step 5. A crash after step 3 leaves remnants, which another purge removes: the version objects
point to the rest, so they are deleted last. A writer that races with a purge either commits first, and the purge
starts over on the new base, or loses its base and makes version floor + 1.

A purge does not remove the slot of an attempt that died before its commit, nor the content that a version referred to
outside its record. The sweeper does.

Cost: 2 GET + 2 PUT, then per 1,000 versions 1 LIST, per version 1 GET, and 2 DELETE per batch of at most 50.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from fhirstore.batched import batched
from fhirstore.commit.attempt import Attempt, Base
from fhirstore.commit.backoff import CONTENDED, until_past
from fhirstore.commit.idempotent import listed, removed, stored
from fhirstore.commit.intents import firm
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Absent, Archived, Get, List, Protocol
from fhirstore.commit.reading import ask_archive, look
from fhirstore.commit.verdict import commit
from fhirstore.errors import Contention, CorruptRecord
from fhirstore.format.keyspace import Keyspace, ResourceKeys
from fhirstore.format.record import Record, decode
from fhirstore.index.names import names
from fhirstore.objects.base import Listed, StoredObject

_BATCH = 50
_DELETE = 1_000  # keys in one request
_BATCH_BYTES = 16 * 1024 * 1024
_LONGEST_WAIT = 10  # times `settled`: a t further ahead than this comes from imported data, not from a clock


@dataclass(frozen=True, slots=True)
class Purged:
    """`versions`: the number of versions that this purge made invisible; 0 if there were none.

    `objects`: the number of version objects that it deleted, remnants of an interrupted purge included. `floor`: the
    newest version that is purged.
    """

    versions: int
    objects: int
    floor: int = field(default=0, compare=False)


def purge(keys: ResourceKeys, *, by: str, context: Context) -> Protocol[Purged]:
    """Removes every version of a resource permanently. `by`: who asks, for the audit line.

    Raises Contention (nothing was purged), Unavailable (nothing was purged, or remnants are left: purge again),
    WriteOutcomeUnknown.
    """
    for n in range(context.limits.attempts):
        base, date = yield from firm(keys, context)
        if base.record is None:
            return Purged(0, 0)
        if not base.record.exists:
            versions, floor = 0, base.record.floor
            break
        attempt = _attempt(keys, base, base.record, context)
        yield from _audit(attempt, base.record, by)
        if (yield from commit(attempt, context)) is not None:
            versions, floor = base.record.version - base.record.floor, base.record.version
            break
        yield CONTENDED.jittered(n, context.ids)
    else:
        raise Contention("Others kept writing this resource; nothing was purged, try again")
    if floor:
        yield from _let_settle(keys, [base.record], date, context)
    return Purged(versions, (yield from remove_versions(keys, floor, context=context)), floor)


def remove_versions(keys: ResourceKeys, floor: int, *, context: Context) -> Protocol[int]:
    """Deletes the objects of the versions up to `floor`, and what is beside them. Returns the number of versions."""
    count = 0
    if not floor:
        return count
    folder = keys.version(0).removesuffix("0.json")
    page = yield from listed(List(folder))
    while True:
        for batch in _batches([item for item in page.objects if 0 < (version_of(keys, item.key) or 0) <= floor]):
            yield from _remove(keys, [item.key for item in batch], context)
            count += len(batch)
        if page.cursor is None:
            return count
        page = yield from listed(List(folder, cursor=page.cursor))


def version_of(keys: ResourceKeys, key: str) -> int | None:
    """Returns the number of the version whose object has this `key`; None if it is not a version object."""
    name = key.rpartition("/")[2].removesuffix(".json")
    number = int(name) if name.isascii() and name.isdigit() else 0
    return number if number and keys.version(number) == key else None


def _attempt(keys: ResourceKeys, base: Base, record: Record, context: Context) -> Attempt:
    now = context.now()
    stub = Record(
        version=record.version,
        t=max(now, record.t + 1),
        op=context.ids.new(),
        method="PURGE",
        base=base.etag,
        floor=record.version,
        hold=record.hold,  # a hold of the sweeper stays in force
    )
    return Attempt(keys, base, stub, stub.encode(), expires=now + context.limits.window)


def _audit(attempt: Attempt, record: Record, by: str) -> Protocol[None]:
    keys, stub = attempt.keys, attempt.record
    line = {
        "who": by,
        "action": "purge",
        "type": keys.type,
        "id": keys.id,
        "versions": record.version - record.floor,
        "t": stub.t,
    }
    key = Keyspace(keys.prefix).audit_line(stub.t, "purge", keys, stub.op)
    yield from stored(key, msgspec.json.encode(line))


def _let_settle(keys: ResourceKeys, records: Sequence[Record], date: int, context: Context) -> Protocol[None]:
    """Waits until no request of the writers of these records can be applied any more: it would restore an object."""
    latest = max((record.t + context.limits.settled_for(record) for record in records), default=0)
    until = min(latest, date + _LONGEST_WAIT * context.limits.settled)
    while date <= until:
        yield until_past(until, date)
        _, date = yield from look(keys)


def _remove(keys: ResourceKeys, versions: Sequence[str], context: Context) -> Protocol[None]:
    found = yield from ask_archive(*(Get(key) for key in versions))
    records = [_readable(key, reply) for key, reply in zip(versions, found, strict=True)]
    sound = [record for record in records if record is not None]
    beside = [key for record in sound for key in _beside(keys, record)]
    # An older version may need a longer wait than the newest, because a transaction has a longer write window.
    yield from _let_settle(keys, sound, min(reply.date for reply in found), context)
    for some in batched(beside, _DELETE):
        yield from removed(*some)
    yield from removed(*versions)


def _readable(key: str, reply: StoredObject | Absent | Archived) -> Record | None:
    """Returns the record; None if it is gone, damaged or in an archive class.

    Such a version is deleted too, and leaves orphans beside it, which fsck removes.
    """
    try:
        return decode(reply.body, key) if isinstance(reply, StoredObject) else None
    except CorruptRecord:
        return None


def _beside(keys: ResourceKeys, record: Record) -> tuple[str, ...]:
    """Returns the keys of a version's events, its reference, and the index entries that it may have written."""
    event = (record.t, record.version, record.method, record.op)
    entries = [keys.index_entry(name, record.version) for name in names(keys.type, record.resource)]
    payload = record.payload
    referring = [] if payload is None else [keys.reference(payload.sha256, record.version, record.op)]
    return (keys.type_event(*event), keys.system_event(*event), *entries, *referring)


def _batches(items: Sequence[Listed]) -> Iterator[list[Listed]]:
    """Yields the items in batches that are bounded by number and by bytes."""
    batch: list[Listed] = []
    size = 0
    for item in items:
        if batch and (len(batch) == _BATCH or size + item.size > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += item.size
    if batch:
        yield batch
