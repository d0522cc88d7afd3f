"""Compares a copy with its source: every version of every resource byte for byte, events, payloads, and files of runs.

Both sides are streamed, a page of keys and some resources at a time. Per resource, the SHA-256 of its records, one
after the other, is computed on each side; the sum of all of them, which does not depend on the order of a listing, is
the digest of the whole side. Nothing is written.

Cost: 1 LIST per 1,000 objects of either side; per resource 1 GET of `current.json` and per version 1 GET, on either
side; payloads and the files of runs are read from the target and compared with the SHA-256 in records and seals.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from fhirstore.commit.drive import drive
from fhirstore.commit.messages import Absent, Get, List
from fhirstore.commit.reading import ask, look
from fhirstore.errors import CorruptRecord, InvalidResource, ObjectDamaged, ObjectError, ObjectNotFound
from fhirstore.format.keyspace import ResourceKeys, parse_event
from fhirstore.format.payload import Payload, decode_entry
from fhirstore.format.record import Record
from fhirstore.format.runs import RunKeys, Seal, decode_seal
from fhirstore.objects.base import ObjectStore, StoredObject
from fhirstore.objects.files import sha256_of
from fhirstore.tenancy import Place
from fhirstore.upkeep.copy.conveyor import convey
from fhirstore.upkeep.copy.pages import Named, names_of, pages_of, resource_pages
from fhirstore.upkeep.copy.resource import Changed, check_link, versions_of
from fhirstore.upkeep.copy.runs import moved, runs_of
from fhirstore.upkeep.copy.tally import Room, Tally
from fhirstore.upkeep.copy.target import patiently
from fhirstore.upkeep.fsck.record_checks import unfenced
from fhirstore.upkeep.sweep.event_status import EventStatus, statuses_of

_GROUP = 16  # versions
_GROUP_BYTES = 2 * 1024 * 1024
_ROOM = 128 * 1024 * 1024
_KEPT = 100
_REMEMBERED = 100_000  # payload objects
_SUM = 2**256


@dataclass(slots=True)
class Side:
    """What one side has. `size`: bytes of all versions. `digest`: the sum of their SHA-256, modulo 2^256."""

    resources: int = 0
    versions: int = 0
    size: int = 0
    runs: int = 0
    digest: int = 0

    def add(self, record: Record, size: int, digest: bytes) -> None:
        """Count a resource: its current record, bytes and SHA-256 of its versions."""
        self.resources += 1
        self.versions += record.version - record.floor
        self.size += size
        self.digest = (self.digest + int.from_bytes(digest)) % _SUM

    def as_json(self) -> dict[str, object]:
        """The figures as plain JSON values."""
        return {**asdict(self), "digest": f"{self.digest:064x}"}


@dataclass(slots=True)
class Verified:
    """Both sides, and what differs: names like `Patient/1`, the first hundred. `behind`: resources that the source has
    written or purged since they were copied."""

    source: Side = field(default_factory=Side)
    target: Side = field(default_factory=Side)
    differing: int = 0
    behind: int = 0
    names: list[str] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether nothing differs; the source may be ahead."""
        return self.differing == 0

    def differs(self, name: str) -> None:
        """Note that this is not the same on both sides."""
        self.differing += 1
        if len(self.names) < _KEPT:
            self.names.append(name)

    def as_json(self) -> dict[str, object]:
        """The comparison as plain JSON values."""
        return {
            "source": self.source.as_json(),
            "target": self.target.as_json(),
            "differing": self.differing,
            "behind": self.behind,
            "names": self.names,
        }


async def verify(
    source: Place, target: Place, *, at_once: int, tally: Tally, stop: Callable[[], bool] = lambda: False
) -> Verified:
    """Compares both sides. Raises StoreDamaged, Unavailable. Where `stop` said so, it is not complete."""
    run = _Verification(source, target, at_once, tally, stop)
    await run.resources()
    await run.events()
    await run.runs()
    return run.verified


async def _current(objects: ObjectStore, keys: ResourceKeys) -> Record | None:
    """Returns what a reader sees, or the stub of a purge; None where there was never a version."""
    base, _ = await drive(look(keys), objects)
    return None if base.record is None or base.record.version == 0 else unfenced(base.record)


def _same(here: Record, there: Record | None) -> bool:
    """Returns whether both `current.json` have the same version. Its content is compared with the versions."""
    return there is not None and (there.version, there.op, there.floor, there.sha256) == (
        here.version,
        here.op,
        here.floor,
        here.sha256,
    )


@dataclass(slots=True)
class _Verification:
    source: Place
    target: Place
    at_once: int
    tally: Tally
    stop: Callable[[], bool]
    verified: Verified = field(default_factory=Verified)
    room: Room = field(default_factory=lambda: Room(_ROOM))
    _sound: set[str] = field(default_factory=set)  # payload objects that were read

    # --- resources --------------------------------------------------------------------------------------------------

    async def resources(self) -> None:
        """Compares all resources of the source; if the target has more, names those."""

        async def act(item: Named) -> None:
            await patiently(lambda: self._resource(item))
            self.tally.looked_at()

        await convey(resource_pages(self.source), act, at_once=self.at_once, done=lambda _: None, stop=self.stop)
        if not self.stop() and await self._count() > self.verified.target.resources:
            await convey(
                resource_pages(self.target), self._surplus, at_once=self.at_once, done=lambda _: None, stop=self.stop
            )

    async def _resource(self, item: Named) -> None:
        ours = self.source.keys.resource(item.type, item.id)
        theirs = self.target.keys.resource(item.type, item.id)
        try:
            here = await _current(self.source.objects, ours)
            if here is None:
                return
            there = await _current(self.target.objects, theirs)
            mine, other = await self._digests(ours, theirs, here, item.largest)
        except Changed:
            self.verified.behind += 1
            return
        except (CorruptRecord, ObjectError):
            self.verified.differs(item.name)
            return
        equal = _same(here, there) and mine == other
        if not equal and await self._moved_on(ours, there):
            self.verified.behind += 1
            return
        self.verified.source.add(here, *mine)
        if there is not None:
            self.verified.target.add(there, *other)
        if not equal:
            self.verified.differs(item.name)

    async def _digests(
        self, ours: ResourceKeys, theirs: ResourceKeys, here: Record, largest: int
    ) -> tuple[tuple[int, bytes], tuple[int, bytes]]:
        """Returns bytes and SHA-256 of all versions of `here` on both sides. Raises Changed, CorruptRecord."""
        hashes = (hashlib.sha256(), hashlib.sha256())
        sizes = [0, 0]
        before: Record | None = None
        at_once = max(1, min(_GROUP, _GROUP_BYTES // largest))
        for start in range(here.floor + 1, here.version + 1, at_once):
            group = range(start, min(start + at_once, here.version + 1))
            async with self.room.hold(3 * len(group) * largest):
                versions = await drive(versions_of(ours, group), self.source.objects)
                replies = await drive(ask(*(Get(theirs.version(number)) for number in group)), self.target.objects)
                for number, version, reply in zip(group, versions, replies, strict=True):
                    check_link(before, version.record, number)
                    before = version.record
                    self.tally.read(len(version.body))
                    sizes[0] += len(version.body)
                    hashes[0].update(version.body)
                    if isinstance(reply, StoredObject):
                        sizes[1] += len(reply.body)
                        hashes[1].update(reply.body)
                    if version.record.payload is not None:
                        await self._payload(version.record.payload)
        if before is not None and before.op != here.op:
            raise Changed
        return (sizes[0], hashes[0].digest()), (sizes[1], hashes[1].digest())

    async def _payload(self, payload: Payload) -> None:
        """Reads a payload in the target, once, and its entry."""
        if payload.object in self._sound:
            return
        key = self.target.keys.prefix + payload.object
        try:
            equal = await sha256_of(self.target.objects, key) == payload.sha256
            entry_key = self.target.keys.payload_entry(payload.sha256)
            (found,) = await drive(ask(Get(entry_key)), self.target.objects)
            entry = None if isinstance(found, Absent) else decode_entry(found.body, entry_key)
            equal = equal and entry is not None and entry.state == "live" and entry.payload == payload
        except (ObjectNotFound, ObjectDamaged, CorruptRecord):
            equal = False
        if not equal:
            self.verified.differs(payload.object)
        if len(self._sound) >= _REMEMBERED:
            self._sound.clear()
        self._sound.add(payload.object)

    async def _moved_on(self, ours: ResourceKeys, there: Record | None) -> bool:
        """Returns whether the target has an earlier state of this resource, as the source has had it."""
        now = await _current(self.source.objects, ours)
        if now is None or there is None or now.version <= there.version:
            return now is not None and there is not None and there.floor < now.floor and there.version <= now.floor
        if there.version <= now.floor:
            return True
        try:
            (version,) = await drive(versions_of(ours, [there.version]), self.source.objects)
        except (Changed, CorruptRecord):
            return False
        return version.record.op == there.op

    async def _count(self) -> int:
        """Returns how many resources of the target have a `current.json`."""
        return sum(
            [
                sum(item.key.endswith("/current.json") for item in page.objects)
                async for page in pages_of(self.target, List(self.target.keys.resources()))
            ]
        )

    async def _surplus(self, item: Named) -> None:
        there = await _current(self.target.objects, self.target.keys.resource(item.type, item.id))
        if there is None:
            return
        if await _current(self.source.objects, self.source.keys.resource(item.type, item.id)) is None:
            self.verified.differs(item.name)

    # --- events -----------------------------------------------------------------------------------------------------

    async def events(self) -> None:
        """Compares the folders of events by a merge: in a flat folder all stores list in the order of the bytes."""
        prefix = self.source.keys.prefix
        folders = [self.source.keys.system_history()]
        async for page in pages_of(self.source, List(self.source.keys.history_types(), delimiter=True)):
            folders += page.prefixes
        for folder in folders:
            if not self.stop():
                await self._folder(folder.removeprefix(prefix))

    async def _folder(self, folder: str) -> None:
        mine, theirs = names_of(self.source, folder), names_of(self.target, folder)
        ours, other = await anext(mine, None), await anext(theirs, None)
        while ours is not None or other is not None:
            if ours == other:
                ours, other = await anext(mine, None), await anext(theirs, None)
            elif other is None or (ours is not None and ours < other):
                await self._missing(folder + (ours or ""))
                ours = await anext(mine, None)
            else:
                self.verified.differs(folder + other)
                other = await anext(theirs, None)

    async def _missing(self, name: str) -> None:
        """An event that the target lacks: right where it is that of no version, or the version was not copied yet."""
        try:
            event = parse_event(self.source.keys.prefix + name)
            (status,) = await drive(statuses_of(self.source.keys, [event]), self.source.objects)
            there = await _current(self.target.objects, self.target.keys.resource(event.type, event.id))
        except (ValueError, InvalidResource, CorruptRecord):
            return  # a stray key, or a resource that differs anyway
        if status is EventStatus.COMMITTED and there is not None and there.version >= event.version:
            self.verified.differs(name)

    # --- runs -------------------------------------------------------------------------------------------------------

    async def runs(self) -> None:
        """Compares the seals of all runs, and reads their files on both sides."""
        async for run in runs_of(self.source):
            if self.stop():
                return
            await patiently(lambda: self._run(run))  # noqa: B023 - awaited at once

    async def _run(self, ours: RunKeys) -> None:
        theirs = moved(ours, self.source.keys, self.target.keys)
        (here,) = await drive(ask(Get(ours.seal)), self.source.objects)
        (there,) = await drive(ask(Get(theirs.seal)), self.target.objects)
        if isinstance(here, Absent):
            return
        self.verified.source.runs += 1
        if isinstance(there, Absent) or there.body != here.body:
            self.verified.differs(ours.seal.removeprefix(self.source.keys.prefix))
            return
        self.verified.target.runs += 1
        seal = decode_seal(here.body, ours)
        for file in seal.files if isinstance(seal, Seal) else ():
            key = theirs.file(file.object)
            try:
                equal = await sha256_of(self.target.objects, key) == file.sha256
            except (ObjectNotFound, ObjectDamaged):
                equal = False
            if not equal:
                self.verified.differs(key.removeprefix(self.target.keys.prefix))
