"""Repairs findings, each by conditional PUTs and after an audit line.

The right content is never guessed from the damaged object. `current.json` is authoritative for the newest version: it
restores that version's object, or is restored from it when only its own bytes are damaged. Events follow from versions.
A `current.json` that is missing or behind is rebuilt from the highest version. Version n is reserved only once n - 1
was committed, so all versions below the highest were; the highest itself may be a dead attempt. To take it for
committed never loses an acknowledged write, and the other choice could. Only for a version of a transaction its
decision tells.

Every repair reads first and does nothing where the damage is gone. If a purge comes in between, the repair removes
again what it wrote.
"""

from __future__ import annotations

from dataclasses import replace

import msgspec

from fhirstore.commit.fence import with_hold
from fhirstore.commit.idempotent import removed, stored
from fhirstore.commit.intents import firm
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Absent, Get, Protocol, Put
from fhirstore.commit.purge import remove_versions
from fhirstore.commit.reading import ask, look
from fhirstore.errors import Contention, CorruptRecord, ObjectArchived
from fhirstore.format.decision import decode_decision
from fhirstore.format.keyspace import JobKeys, Keyspace, ResourceKeys, parse_index_entry
from fhirstore.format.record import Record
from fhirstore.jobs.removal import requeued
from fhirstore.jobs.state import State
from fhirstore.objects.base import IF_ABSENT, Condition, IfMatch, StoredObject, Written
from fhirstore.upkeep.fsck.finding import Finding
from fhirstore.upkeep.fsck.folders import survey
from fhirstore.upkeep.fsck.payloads import remove_unnamed
from fhirstore.upkeep.fsck.record_checks import problems_of, readable, same, unfenced
from fhirstore.upkeep.fsck.runs import remove_leftover
from fhirstore.upkeep.sweep.removal import remove_orphan, remove_slot
from fhirstore.upkeep.sweep.transactions import clear_old

_INDEX = ("index-entry-missing", "index-entry-dead")  # derived data, repaired without audit lines
_REBUILT = ("current-missing", "current-corrupt", "current-behind")


def repair(keys: Keyspace, finding: Finding, *, context: Context) -> Protocol[bool]:
    """Repair the finding. Returns whether it is repaired. Raises Unavailable."""
    try:
        if finding.kind == "run-leftover":
            return (yield from remove_leftover(keys, finding.key, context=context))
        if finding.kind == "payload-leftover":
            return (yield from remove_unnamed(finding))
        if finding.resource is None:
            if finding.kind == "job-not-queued":
                return (yield from requeued(keys, JobKeys(finding.key.removesuffix("state.json"))))
            return finding.kind == "sweep-state" and (yield from _sweep_state(keys))
        if finding.kind in _INDEX:
            yield from _index(keys, finding, finding.resource)
            return True
        yield from _audit(finding, finding.resource, context)
        if finding.kind == "stuck-intent":
            return (yield from clear_old(finding.resource, context=context))
        if finding.key == finding.resource.current and finding.kind not in _REBUILT:
            yield from firm(finding.resource, context)
        return (yield from _repair(keys, finding, finding.resource, context))
    except (Contention, CorruptRecord, ObjectArchived):
        return False


def _repair(keys: Keyspace, finding: Finding, resource: ResourceKeys, context: Context) -> Protocol[bool]:
    if finding.kind in ("system-event-missing", "type-event-missing", "reference-missing"):
        return (yield from _beside(finding, resource))
    if finding.event is not None:
        return (yield from remove_orphan(keys, finding.event, context=context)).events
    if finding.kind == "purge-remnant":
        base, _ = yield from look(resource)
        yield from remove_versions(resource, base.record.floor if base.record is not None else 0, context=context)
        return True
    if finding.kind == "orphan-slot":
        return (yield from remove_slot(resource, finding.version, finding.op, context=context)) is not None
    if finding.kind in _REBUILT:
        return (yield from _rebuild(keys, finding, resource, context))
    if finding.key == resource.current:
        return (yield from _current_from_version(resource, context))
    return (yield from _newest_version(finding, resource, context))


def _audit(finding: Finding, resource: ResourceKeys, context: Context) -> Protocol[None]:
    t = context.now()
    line = {
        "who": "fsck",
        "action": "repair",
        "type": resource.type,
        "id": resource.id,
        "kind": finding.kind,
        "key": finding.key,
        "t": t,
    }
    key = Keyspace(resource.prefix).audit_line(t, "repair", resource, context.ids.new())
    yield from stored(key, msgspec.json.encode(line))


def _index(keys: Keyspace, finding: Finding, resource: ResourceKeys) -> Protocol[None]:
    """Write or remove an index entry. A dead entry stays dead, so it is removed without another read."""
    if finding.kind == "index-entry-missing":
        yield from stored(finding.key, b"")
        yield from _unless_purged(replace(finding, version=parse_index_entry(keys, finding.key).version), resource)
    else:
        yield from removed(finding.key)


def _beside(finding: Finding, resource: ResourceKeys) -> Protocol[bool]:
    """Writes an event or a reference of a committed version."""
    body = b"" if finding.kind == "reference-missing" else finding.note.encode()
    yield from stored(finding.key, body)
    yield from _unless_purged(finding, resource)
    return True


def _newest_version(finding: Finding, resource: ResourceKeys, context: Context) -> Protocol[bool]:
    """Restore the newest version's object from current.json, or remove an unreadable slot above it."""
    on_current, on_version = yield from ask(Get(resource.current), Get(finding.key))
    current = readable(on_current, resource.current) if isinstance(on_current, StoredObject) else None
    if current is None or current.version < finding.version:
        return (yield from remove_slot(resource, finding.version, None, context=context)) is True
    if current.version > finding.version or problems_of(current, resource, finding.version, rehash=True):
        return False
    record = readable(on_version, finding.key) if isinstance(on_version, StoredObject) else None
    if record is not None and same(current, record):
        return True
    body = unfenced(current).encode()
    done = yield from _put(finding.key, body, _over(on_version), context)
    yield from _unless_purged(finding, resource)
    return done


def _unless_purged(finding: Finding, resource: ResourceKeys) -> Protocol[None]:
    base, _ = yield from look(resource)
    if base.record is not None and finding.version <= base.record.floor:
        yield from removed(finding.key)


def _current_from_version(resource: ResourceKeys, context: Context) -> Protocol[bool]:
    """Restore a current.json with damaged bytes from the object of its version."""
    (on_current,) = yield from ask(Get(resource.current))
    current = readable(on_current, resource.current) if isinstance(on_current, StoredObject) else None
    if current is None:
        return False
    if not problems_of(current, resource, current.version, rehash=True):
        return True
    (on_version,) = yield from ask(Get(resource.version(current.version)))
    record = _sound(on_version, resource, current.version)
    if record is None or record.op != current.op:
        return False
    body = with_hold(record, context.ids.new(), current.hold).encode()
    return (yield from _put(resource.current, body, _over(on_current), context))


def _rebuild(keys: Keyspace, finding: Finding, resource: ResourceKeys, context: Context) -> Protocol[bool]:
    """Rebuild current.json from the highest version, with a hold, because a sweeper's hold may have been lost."""
    (on_current,) = yield from ask(Get(resource.current))
    current = readable(on_current, resource.current) if isinstance(on_current, StoredObject) else None
    folder = yield from survey(keys, resource)
    if not folder.contiguous:
        return False
    if current is not None and current.intent is not None:
        yield from firm(resource, context)
        return False  # the intent is settled now; the next run checks again
    if current is not None and current.floor <= current.version:
        if finding.version <= current.version:
            return True  # no longer behind
        (on_next,) = yield from ask(Get(resource.version(current.version + 1)))
        after = _sound(on_next, resource, current.version + 1)
        if after is None or after.prior != (current.op if current.version else None):
            return False
    (on_highest,) = yield from ask(Get(resource.version(folder.highest)))
    record = _sound(on_highest, resource, folder.highest)
    if record is None or folder.lowest != record.floor + 1:
        return False
    if record.parts and not (yield from _committed(resource, record, on_highest, context)):
        record = yield from _before(resource, record, context)  # the version was never visible
        if record is None:
            return False
    hold = on_highest.date + context.limits.window
    body = with_hold(record, context.ids.new(), hold).encode()
    return (yield from _put(resource.current, body, _over(on_current), context))


def _committed(
    resource: ResourceKeys, record: Record, reply: StoredObject | Absent, context: Context
) -> Protocol[bool]:
    """Returns whether the version's transaction was committed. Its decision is kept a day; after that only final
    versions remain."""
    key = resource.transaction(record.op)
    (found,) = yield from ask(Get(key))
    if isinstance(found, Absent):
        return record.t + context.limits.keep_transactions < reply.date
    return decode_decision(found.body, key).committed


def _before(resource: ResourceKeys, record: Record, context: Context) -> Protocol[Record | None]:
    """Returns the record of the version before this one; a stub where there was none; None where it is unsound."""
    if record.version == record.floor + 1:
        return None if record.floor else Record.stub(context.ids.new())
    (reply,) = yield from ask(Get(resource.version(record.version - 1)))
    return _sound(reply, resource, record.version - 1)


def _sound(reply: StoredObject | Absent, resource: ResourceKeys, version: int) -> Record | None:
    if isinstance(reply, Absent):
        return None
    record = readable(reply, resource.version(version))
    if record is None or problems_of(record, resource, version, rehash=True):
        return None
    return record


def _sweep_state(keys: Keyspace) -> Protocol[bool]:
    """Start over: a watermark of 0 only makes the next sweep check everything."""
    (reply,) = yield from ask(Get(keys.sweep_state))
    (answer,) = yield (Put(keys.sweep_state, State(work={"watermark": 0}).encode(), _over(reply)),)
    return isinstance(answer, Written)


def _over(reply: StoredObject | Absent) -> Condition:
    return IF_ABSENT if isinstance(reply, Absent) else IfMatch(reply.etag)


def _put(key: str, body: bytes, condition: Condition, context: Context) -> Protocol[bool]:
    (reply,) = yield (Put(key, body, condition, context.now() + context.limits.window),)
    if isinstance(reply, Written):
        return True
    (found,) = yield from ask(Get(key))
    return isinstance(found, StoredObject) and found.body == body
