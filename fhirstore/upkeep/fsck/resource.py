"""Checks one resource: current.json, every version, and on demand both events of each version.

All checks use what was read *after* the folder was listed, and a slot above `current` counts only if its window was
over when `current` was read. So a running write is never taken for damage. Only a running purge may look like damage
for a moment, and `run` checks again.

Cost: 1 GET, 1 GET per version, 2 GET more per version with a payload, 2 GET per version more with `events`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fhirstore.commit.attempt import body_beside
from fhirstore.commit.limits import Limits
from fhirstore.commit.messages import Absent, Archived, Get, Protocol
from fhirstore.commit.reading import ask, ask_archive, seen
from fhirstore.errors import CorruptRecord
from fhirstore.format.keyspace import Event, ResourceKeys
from fhirstore.format.payload import Payload, decode_entry
from fhirstore.format.record import Record
from fhirstore.objects.base import StoredObject
from fhirstore.upkeep.fsck.finding import Finding
from fhirstore.upkeep.fsck.folders import Folder
from fhirstore.upkeep.fsck.record_checks import Problem, problems_between, problems_of, readable, same

_BYTES_AT_ONCE = 16 * 1024 * 1024
_VERSIONS_AT_ONCE = 8
_PURGE_GRACE = 60_000
"""ms after which a purge with remnants is taken for dead."""


@dataclass(frozen=True, slots=True)
class Look:
    """Options of the check. `deep`: hash every version, not only the current one. `events`: GET each version's events.

    `watermark`: events below it were checked by a sweeper. `committed`: called with the event of each committed version
    whose record is sound. `current`: called with each resource's current version, if there is one.
    `archived`: called for each version object in an archive class, of which nothing can be said.
    """

    limits: Limits
    deep: bool = False
    events: bool = False
    watermark: int = 0
    committed: Callable[[Event], None] | None = None
    current: Callable[[ResourceKeys, Record], None] | None = None
    archived: Callable[[], None] = lambda: None


def examine(folder: Folder, look: Look) -> Protocol[list[Finding]]:
    """Returns what is wrong with a resource. Raises Unavailable."""
    keys = folder.keys
    (reply,) = yield from ask(Get(keys.current))
    if isinstance(reply, Absent):
        return (yield from _headless(folder, reply.date, look))
    current = readable(reply, keys.current)
    if current is None or current.floor > current.version:
        return [Finding("current-corrupt", keys.current, "", folder.contiguous, resource=keys)]
    findings: list[Finding] = []
    if current.intent is not None:
        current, findings = yield from _through_intent(keys, reply, current, look)
    elif look.current is not None and current.exists:
        look.current(keys, current)
    findings += yield from _versions(folder, current, look)
    if folder.highest > current.version:
        findings += yield from _above(folder, current, reply.date, look)
    busy = current.purged and current.t + _PURGE_GRACE >= reply.date
    if 0 < folder.lowest <= current.floor and not busy:
        findings.append(
            Finding("purge-remnant", keys.version(folder.lowest), repairable=True, resource=keys, version=folder.lowest)
        )
    return findings


def _through_intent(
    keys: ResourceKeys, reply: StoredObject, current: Record, look: Look
) -> Protocol[tuple[Record, list[Finding]]]:
    """Returns what a reader of this `current.json` sees through its intent, and what is wrong."""
    findings: list[Finding] = []
    intent = current.intent
    if intent is None:
        return current, findings
    if intent.t + look.limits.settled < reply.date:
        findings.append(Finding("stuck-intent", keys.current, "", True, resource=keys, version=intent.v))
    try:
        return (yield from seen(keys, reply)) or current, findings
    except CorruptRecord as corrupt:
        if corrupt.key == keys.version(intent.v):
            findings.append(
                Finding("version-missing", corrupt.key, "of a transaction", resource=keys, version=intent.v)
            )
        return current.without_intent(), findings  # an unreadable decision is another finding


def _versions(folder: Folder, current: Record, look: Look) -> Protocol[list[Finding]]:
    """Check every committed version in order, several in parallel."""
    keys = folder.keys
    findings: list[Finding] = []
    of_current = problems_of(current, keys, current.version, rehash=True)
    newest: Record | None = None  # the newest version object, if it is sound
    before: Record | None = None
    at_once = max(1, min(_VERSIONS_AT_ONCE, _BYTES_AT_ONCE // folder.largest))
    for first in range(current.floor + 1, current.version + 1, at_once):
        numbers = range(first, min(first + at_once, current.version + 1))
        replies = yield from ask_archive(*(Get(keys.version(number)) for number in numbers))
        records: list[Record] = []  # those whose events are known
        for number, reply in zip(numbers, replies, strict=True):
            last = number == current.version
            if isinstance(reply, Archived):
                look.archived()
                newest = before = current if last and not of_current else None
                records += [] if before is None else [before]
                continue
            record, problems = _version(reply, keys, number, rehash=look.deep or last)
            newest = record if not problems else None
            differs = record is None or (last and not same(current, record))
            if record is not None:
                problems += problems_between(before, record, current.floor)
            if last and differs and not problems and not of_current:
                problems.append(("current-differs", ""))
            known = last and differs and not of_current
            if known:
                records.append(current)
            elif record is not None and not problems:
                records.append(record)
            findings += [
                Finding(kind, keys.version(number), detail, known, resource=keys, version=number)
                for kind, detail in problems
            ]
            before = record
        for record in records:
            if look.committed is not None:
                look.committed(_event(keys, record))
            if record.payload is not None:
                findings += yield from _payload(keys, record, record.payload)
        if look.events:
            findings += yield from _missing_events(keys, records)
    known = newest is not None and newest.op == current.op
    return [Finding(kind, keys.current, detail, known, resource=keys) for kind, detail in of_current] + findings


def _version(
    reply: StoredObject | Absent, keys: ResourceKeys, number: int, *, rehash: bool
) -> tuple[Record | None, list[Problem]]:
    if isinstance(reply, Absent):
        return None, [("version-missing", "")]
    record = readable(reply, keys.version(number))
    if record is None:
        return None, [("version-corrupt", "")]
    problems = problems_of(record, keys, number, rehash=rehash)
    return (None if record.version != number else record), problems


def _payload(keys: ResourceKeys, record: Record, payload: Payload) -> Protocol[list[Finding]]:
    """Check that the entry names the content of a version, and that its reference is there."""
    entry_key = keys.payload_entry(payload.sha256)
    reference_key = keys.reference(payload.sha256, record.version, record.op)
    on_entry, on_reference = yield from ask(Get(entry_key), Get(reference_key))
    findings: list[Finding] = []
    if isinstance(on_reference, Absent):
        findings.append(Finding("reference-missing", reference_key, "", True, resource=keys, version=record.version))
    try:
        entry = None if isinstance(on_entry, Absent) else decode_entry(on_entry.body, entry_key)
    except CorruptRecord:
        return findings  # another finding
    if entry is None or entry.state not in ("live", "condemned") or entry.payload != payload:
        findings.append(Finding("payload-unnamed", keys.version(record.version), resource=keys, version=record.version))
    return findings


def _missing_events(keys: ResourceKeys, records: Sequence[Record]) -> Protocol[list[Finding]]:
    wanted: dict[str, tuple[str, Record]] = {}
    for record in records:
        names = (record.t, record.version, record.method, record.op)
        wanted[keys.system_event(*names)] = ("system-event-missing", record)
        wanted[keys.type_event(*names)] = ("type-event-missing", record)
    replies = yield from ask(*(Get(key) for key in wanted))
    return [
        Finding(kind, key, repairable=True, resource=keys, version=record.version, note=body_beside(record).decode())
        for (key, (kind, record)), reply in zip(wanted.items(), replies, strict=True)
        if isinstance(reply, Absent)
    ]


def _above(folder: Folder, current: Record, date: int, look: Look) -> Protocol[list[Finding]]:
    """Check a version object above `current`: the slot of an attempt, if it is the next version."""
    keys, number = folder.keys, folder.highest
    if number > current.version + 1:
        detail = f"at {current.version}, but version {number} is there"
        return [Finding("current-behind", keys.current, detail, folder.contiguous, resource=keys, version=number)]
    (reply,) = yield from ask_archive(Get(keys.version(number)))
    if isinstance(reply, Archived):
        look.archived()
    if not isinstance(reply, StoredObject):
        return []
    record = readable(reply, keys.version(number))
    if record is None:
        detail = "a reservation that nobody can read, and so nobody can write past"
        return [Finding("version-corrupt", keys.version(number), detail, True, resource=keys, version=number)]
    detail = f"at {current.version}, but a sweeper let version {number} pass as committed"
    behind = Finding("current-behind", keys.current, detail, record.prior == current.op, resource=keys, version=number)
    return (yield from _reservation(folder, record, behind, date, look))


def _headless(folder: Folder, date: int, look: Look) -> Protocol[list[Finding]]:
    """Check a folder without current.json: a first write that runs or died, unless a version was surely committed.

    Version 2 is reserved only once version 1 was committed.
    """
    keys, number = folder.keys, folder.highest
    if not number:
        return []
    missing = Finding("current-missing", keys.current, "", folder.contiguous, resource=keys, version=number)
    if number > 1:
        return [missing]
    (reply,) = yield from ask_archive(Get(keys.version(1)))
    if isinstance(reply, Archived):
        look.archived()
    if not isinstance(reply, StoredObject):
        return []
    record = readable(reply, keys.version(1))
    if record is None:
        return [Finding("version-corrupt", keys.version(1), "no current.json either", resource=keys, version=1)]
    return (yield from _reservation(folder, record, missing, date, look))


def _reservation(folder: Folder, record: Record, lost: Finding, date: int, look: Look) -> Protocol[list[Finding]]:
    """Check a slot just above `current`: running, dead, or committed (`lost`) if a sweeper let its events pass."""
    keys, number = folder.keys, folder.highest
    if record.t + look.limits.settled >= date:
        return []
    if record.t < look.watermark and not (yield from _missing_events(keys, [record])):
        return [lost]
    return [Finding("orphan-slot", keys.version(number), "", True, resource=keys, version=number, op=record.op)]


def _event(keys: ResourceKeys, record: Record) -> Event:
    return Event(record.t, keys.type, keys.id, record.version, record.method, record.op)
