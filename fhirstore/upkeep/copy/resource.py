"""Copies one resource: the versions that the target lacks, in order, and `current.json` last.

| step | requests |
|---|---|
| 1 | source: GET current (2 more through an intent); target: GET current |
| 2 | if the source has purged what the target has: PUT a stub, then delete as a purge does |
| 3 | per group of versions: GET them, copy their payloads, PUT them with events, index entries and references |
| 4 | PUT current |

A version is believed only as part of the chain: each record names the op token of the one before it, and the last one
is what a reader of `current.json` sees. So the slot of an attempt that died is never taken for a version, and a write
or a purge in between shows, and the resource is read again. The SHA-256 of each record is checked on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from fhirstore.commit.attempt import Base, body_beside, keys_beside
from fhirstore.commit.drive import drive
from fhirstore.commit.limits import Context
from fhirstore.commit.local_locks import LocalLocks
from fhirstore.commit.messages import Absent, Get, Protocol, Put
from fhirstore.commit.purge import remove_versions
from fhirstore.commit.reading import ask, glance, look
from fhirstore.errors import CopyRefused, CorruptRecord
from fhirstore.format.keyspace import ResourceKeys
from fhirstore.format.payload import Entry, Payload
from fhirstore.format.record import Record, decode
from fhirstore.objects.base import StoredObject
from fhirstore.objects.facts import Facts
from fhirstore.tenancy import Place
from fhirstore.upkeep.copy.tally import Room, Tally
from fhirstore.upkeep.copy.target import Target, patiently
from fhirstore.upkeep.fsck.folders import survey
from fhirstore.upkeep.fsck.record_checks import unfenced

_GROUP = 16  # versions
_GROUP_BYTES = 2 * 1024 * 1024
_ROOM = 128 * 1024 * 1024  # bytes of versions held by all tasks together
_UNKNOWN = 64 * 1024  # bytes that a version is taken to have where no listing says it
_TRIES = 5
_REMEMBERED = 10_000  # transactions
_MARGIN = 60_000  # ms


class Start(Enum):
    """Where the copy of a resource begins."""

    NOTHING = "nothing"  # the target has no version, or all that it has was purged in the source
    BEHIND = "behind"  # the target has the first versions
    DONE = "done"


class Changed(Exception):
    """The resource was written or purged while it was read: read it again."""


def start_of(source: Record, target: Record | None) -> Start | None:
    """Returns where a copy of `source` (its current version) goes on where the target has `target`. Pure.

    None: the target has what the source never had.
    """
    if target is None or target.version == 0:
        return Start.NOTHING
    if (target.version, target.op, target.floor) == (source.version, source.op, source.floor):
        return Start.DONE
    if target.version <= source.floor or target.floor >= target.version:
        return Start.NOTHING if target.version <= source.version else None
    if target.floor == source.floor and target.version < source.version:
        return Start.BEHIND
    return None


def check_link(before: Record | None, record: Record, version: int) -> None:
    """Raises Changed unless `record` is `version`, and follows `before`; None: nothing is known of that one."""
    if record.version != version or (before is not None and record.prior != before.op):
        raise Changed


@dataclass(frozen=True, slots=True)
class Version:
    """A version as stored: its record, and the bytes of the object."""

    record: Record
    body: bytes


def versions_of(keys: ResourceKeys, numbers: Sequence[int]) -> Protocol[list[Version]]:
    """Returns these versions. 1 GET each. Raises Changed where one is missing, CorruptRecord, Unavailable."""
    replies = yield from ask(*(Get(keys.version(number)) for number in numbers))
    return [_version(keys.version(number), reply) for number, reply in zip(numbers, replies, strict=True)]


def _version(key: str, reply: StoredObject | Absent) -> Version:
    if isinstance(reply, Absent):
        raise Changed
    record = decode(reply.body, key)
    if not record.intact():
        raise CorruptRecord(key)
    return Version(record, reply.body)


def puts_of(keys: ResourceKeys, before: Record | None, version: Version, *, facts: Facts | None = None) -> list[Put]:
    """Returns the PUTs of one version: its object with these facts, its events, its entries in the identity index, and
    the reference to its payload. Pure."""
    record = version.record
    beside = [Put(key, body_beside(record)) for key in keys_beside(keys, Base(before, None), record)]
    if record.payload is not None:
        beside.append(Put(keys.reference(record.payload.sha256, record.version, record.op), b""))
    return [Put(keys.version(record.version), version.body, facts=facts), *beside]


class ResourceCopier:
    """Copies resources of one tenant. `contexts`: of the source and of the target."""

    def __init__(
        self, source: Place, target: Place, writes: Target, tally: Tally, *, contexts: tuple[Context, Context]
    ) -> None:
        self._source = source
        self._target = target
        self._writes = writes
        self._tally = tally
        self._context = contexts[1]
        self._room = Room(_ROOM)
        self._decided: set[str] = set()  # transactions whose decision is being copied, or was
        self._locks = LocalLocks()  # of two copies of one resource, the later one must read later

    async def copy(
        self, type: str, id: str, *, largest: int | None = None, fresh: bool = False, whole: bool = False
    ) -> bool:
        """Copies what the target lacks. Returns whether anything was written.

        `largest`: bytes of the largest version, as far as known. `fresh`: the target has surely nothing of it. `whole`:
        write again what is there already. Raises CorruptRecord (of the source), CopyRefused (the target has what the
        source has not), StoreFull, LeaseLost, Unavailable.
        """
        ours, theirs = self._source.keys.resource(type, id), self._target.keys.resource(type, id)
        async with self._locks.hold((type, id)):
            for n in range(_TRIES):
                try:
                    return await patiently(lambda: self._copy(ours, theirs, largest, fresh=fresh, whole=whole))
                except Changed:
                    if n == _TRIES - 1:
                        raise CorruptRecord(ours.current) from None
        return False

    async def _copy(
        self, ours: ResourceKeys, theirs: ResourceKeys, largest: int | None, *, fresh: bool, whole: bool
    ) -> bool:
        seen, _ = await drive(look(ours), self._source.objects)
        current = seen.record
        if current is None or current.version == 0:
            return False
        there = None if fresh else (await drive(glance(theirs), self._target.objects))[0].record
        start = start_of(current, there)
        if start is None:
            raise CopyRefused(f"{ours.type}/{ours.id} in the target is no copy of that in the source")
        if start is Start.DONE and not whole:
            return False
        if start is Start.NOTHING and there is not None and there.version:
            await self._remove_purged(theirs, there, current.floor)
        before: Record | None = None
        first = current.floor + 1
        if start is Start.BEHIND and there is not None and not whole:
            before, first = await self._link(ours, there), there.version + 1
        numbers = range(first, current.version + 1)
        body = await self._copy_versions(
            ours, theirs, numbers, before=before, current=current, largest=largest, whole=whole
        )
        if body is None:
            body = unfenced(current).encode()
        await self._writes.put([Put(theirs.current, body)])
        self._tally.upto = max(self._tally.upto, current.t)
        return True

    async def _link(self, ours: ResourceKeys, there: Record) -> Record:
        """Returns the source's record of the newest version that the target has."""
        (version,) = await drive(versions_of(ours, [there.version]), self._source.objects)
        if version.record.op != there.op:
            raise CopyRefused(f"{ours.type}/{ours.id} in the target is no copy of that in the source")
        return version.record

    async def _copy_versions(
        self,
        ours: ResourceKeys,
        theirs: ResourceKeys,
        numbers: range,
        *,
        before: Record | None,
        current: Record,
        largest: int | None,
        whole: bool,
    ) -> bytes | None:
        """Copies these versions, which follow `before`. Returns the bytes of the last one; None where there are
        none."""
        body: bytes | None = None
        facts = self._context.slot_facts(theirs.type)
        if largest is None:
            folder = await drive(survey(self._source.keys, ours), self._source.objects) if len(numbers) > 1 else None
            largest = max(len(current.resource or b""), _UNKNOWN if folder is None else folder.largest)
        at_once = max(1, min(_GROUP, _GROUP_BYTES // max(1, largest)))
        for start in range(numbers.start, numbers.stop, at_once):
            group = range(start, min(start + at_once, numbers.stop))
            async with self._room.hold(2 * len(group) * largest):
                versions = await drive(versions_of(ours, group), self._source.objects)
                puts: list[Put] = []
                for number, version in zip(group, versions, strict=True):
                    check_link(before, version.record, number)
                    self._tally.read(len(version.body))
                    puts += puts_of(theirs, before, version, facts=facts)
                    before = version.record
                if before is not None and before.version == current.version and before.op != current.op:
                    raise Changed
                puts += await self._decisions([version.record for version in versions])
                for version in versions:
                    if version.record.payload is not None:
                        await self._copy_payload(theirs, version.record.payload, whole=whole)
                await self._writes.put(puts)
                self._saw([version.record for version in versions], ours)
                body = versions[-1].body
        return body

    async def _decisions(self, records: Sequence[Record]) -> list[Put]:
        """Returns the PUTs of the decisions of recent transactions, which a history asks for (`whole_transactions`).

        Once per transaction; an older decision may have been removed in the source, and is not asked for.
        """
        since = self._source.objects.now() - self._context.limits.keep_transactions - _MARGIN
        wanted = {record.op: None for record in records if record.parts and record.t > since}
        missing = [tx for tx in wanted if tx not in self._decided]
        if not missing:
            return []
        ours = self._source.keys
        replies = await drive(ask(*(Get(ours.transaction(tx)) for tx in missing)), self._source.objects)
        if len(self._decided) > _REMEMBERED:
            self._decided.clear()
        self._decided.update(missing)
        return [
            Put(self._target.keys.transaction(tx), reply.body)
            for tx, reply in zip(missing, replies, strict=True)
            if isinstance(reply, StoredObject)
        ]

    async def _copy_payload(self, theirs: ResourceKeys, payload: Payload, *, whole: bool) -> None:
        """Copies a payload object and makes it live, as nobody else decides about the target."""
        ours, there = self._source.keys.prefix + payload.object, self._target.keys.prefix + payload.object
        await self._writes.copy_body(self._source.objects, ours, there, sha256=payload.sha256, whole=whole)
        entry = Entry("live", payload.sha256, payload.size, payload.object, self._context.ids.new())
        await self._writes.put([Put(theirs.payload_entry(payload.sha256), entry.encode())])

    def _saw(self, records: Sequence[Record], keys: ResourceKeys) -> None:
        self._tally.versions += len(records)
        for record in records:
            event = keys.system_event(record.t, record.version, record.method, record.op).removeprefix(keys.prefix)
            self._tally.newest = max(self._tally.newest, event)

    async def _remove_purged(self, theirs: ResourceKeys, there: Record, floor: int) -> None:
        """Removes from the target what the source has purged: out of sight first, as a purge does."""
        if there.floor < there.version:
            stub = Record(there.version, there.t, self._context.ids.new(), "PURGE", floor=there.version)
            await self._writes.put([Put(theirs.current, stub.encode())])
        await drive(remove_versions(theirs, floor, context=self._context), self._target.objects)
