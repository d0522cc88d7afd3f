"""One task of an export: from the candidates of a scan to files.

A *segment* is what lies between two positions of a scan: at most one file of each kind. Its files are completed first;
then one compare-and-set of the task's progress adds them and moves the position. So a line is in exactly one listed
file, whatever dies in between. A segment ends before the line that would exceed the bounds of a file, or when it is
time (`Note`).

A position must be found again by a later listing, so it is always behind a candidate that exists for ever (`scan`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from fhirstore.commit.limits import Limits
from fhirstore.commit.messages import Get, Protocol
from fhirstore.commit.reading import ask
from fhirstore.errors import CorruptRecord
from fhirstore.export.manifest import DELETED, ERROR, OUTPUT, ManifestFile
from fhirstore.export.outcomes import damaged, lost, outcome_line
from fhirstore.export.progress import TaskProgress
from fhirstore.export.scan import PAGE, START, Candidate, Position, Scan, ScanPage
from fhirstore.export.selection import Selection, Unreadable, deletions
from fhirstore.export.snapshot import Damaged, Visible, versions_at
from fhirstore.export.steps import Append, Note, Save, Steps, asked, begun, closed, worked
from fhirstore.fhir.json import JsonObject
from fhirstore.format.digest import sha256
from fhirstore.format.keyspace import Keyspace
from fhirstore.format.record import Record, decode
from fhirstore.objects.base import StoredObject
from fhirstore.runs.files import WrittenFile
from fhirstore.threads import LARGE

_ROOM = 16 * 1024 * 1024  # bytes of resources that are in memory at a time, as far as their sizes can be foreseen
_ENTRIES = 100  # of deleted resources in one Bundle
_OTHERS = 100_000  # lines of errors, and deleted resources, in one segment


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """`part_bytes`, `part_count`: of a file. `at_once`: GETs in a batch; `ahead`: batches in flight. `page_size`: of a
    scan."""

    part_bytes: int
    part_count: int
    at_once: int = 8
    ahead: int = 2
    page_size: int = PAGE


class Taken(msgspec.Struct, frozen=True):
    """What becomes of one candidate: a line of a kind, or none (""); and the position behind it.

    `digest`: the SHA-256 that was stored with `data`, until that was checked.
    """

    id: str
    kind: str
    data: bytes
    then: Position
    digest: str | None = None


@dataclass(slots=True)
class Segment:
    """The open segment of a task. `firm`: the last position that is found again."""

    task: str
    type: str
    epoch: int
    progress: TaskProgress
    firm: Position
    size: int = 0
    count: int = 0
    others: int = 0
    looked: int = 0
    deleted: list[str] = field(default_factory=list)
    continues: bool = False

    def name(self, kind: str) -> str:
        """Returns the name of the open file of a kind."""
        front = "" if kind == OUTPUT else f"{kind}."
        return f"{front}{self.task}.{self.progress.part}.{self.epoch}.ndjson"

    def append(self, kind: str, *lines: bytes) -> Append:
        """Counts the lines. Returns the step that appends them."""
        if kind == OUTPUT:
            self.count += len(lines)
            self.size += sum(map(len, lines)) + len(lines)
        else:
            self.others += len(lines)
        return Append(kind, self.name(kind), lines)

    def fits(self, bounds: Bounds, size: int, count: int = 1) -> bool:
        """Is there room in the open file for lines of this size, ends included?"""
        return (
            self.size + size <= bounds.part_bytes and self.count + count <= bounds.part_count and self.others < _OTHERS
        )

    def exceeds(self, bounds: Bounds, size: int, count: int = 1) -> bool:
        """Does the open file have some lines already, and no room for these? What fits in no file is put into one."""
        return (self.count > 0 or self.others >= _OTHERS) and not self.fits(bounds, size, count)

    def note(self) -> Note:
        """Returns the step that tells how far the task is."""
        before = self.progress
        return Note(self.task, before.looked + self.looked, before.written + self.count, before.total)

    def cut(self, position: Position, *, done: bool = False) -> Steps[None]:
        """Ends the segment at a position, and begins the next one there."""
        if self.deleted:
            yield from self._delete()
        files = yield from closed()
        before = self.progress
        self.progress = replace(
            before,
            position=position,
            part=before.part + 1 if files else before.part,
            output=self._with(before.output, files.get(OUTPUT), self.type),
            deleted=self._with(before.deleted, files.get(DELETED), "Bundle"),
            error=self._with(before.error, files.get(ERROR), "OperationOutcome"),
            looked=before.looked + self.looked,
            written=before.written + self.count,
            done=done,
        )
        yield Save(self.task, self.progress)
        self.firm = position
        self.size = self.count = self.others = self.looked = 0
        self.continues = False

    def delete(self, url: str) -> Steps[None]:
        """Adds a deleted resource, `Patient/p`."""
        self.deleted.append(url)
        if len(self.deleted) == _ENTRIES:
            yield from self._delete()

    def _delete(self) -> Steps[None]:
        lines = deletions(self.deleted)
        self.deleted = []
        yield self.append(DELETED, *lines)

    def _with(
        self, files: tuple[ManifestFile, ...], written: WrittenFile | None, type: str
    ) -> tuple[ManifestFile, ...]:
        if written is None:
            return files
        file = ManifestFile(
            type=type,
            name=written.name,
            count=written.count,
            size=written.size,
            sha256=written.sha256,
            encoding=written.encoding,
            continues_in="" if self.continues and type == self.type else None,
            severities={"error": written.count} if type == "OperationOutcome" else {},
        )
        return (*files, file)


Take: TypeAlias = Callable[[Sequence[Candidate], Sequence[Visible]], Steps[None]]
"""Takes a batch of candidates, and the version of each that is visible."""

Turn: TypeAlias = Callable[[ScanPage], Steps[None]]
"""Is called after each page."""


@dataclass(slots=True)
class TypeTask:
    """Exports the resources of one type that a scan finds."""

    type: str
    scan: Scan
    selection: Selection
    keys: Keyspace
    limits: Limits
    bounds: Bounds
    epoch: int
    _largest: int | None = field(default=None, init=False)  # bytes of the largest resource so far

    @property
    def name(self) -> str:
        """The name of the task, of its progress and its files."""
        return self.type

    def run(self, progress: TaskProgress) -> Steps[TaskProgress]:
        """Does what is left of the task. Returns its progress, done."""
        segment = Segment(self.name, self.type, self.epoch, progress, progress.position)

        def take(batch: Sequence[Candidate], found: Sequence[Visible]) -> Steps[None]:
            taken = yield from self.taken(batch, found)
            yield from self._append(segment, taken)
            segment.looked += len(batch)
            if (yield segment.note()) and (segment.count or segment.others or segment.deleted):
                yield from segment.cut(segment.firm)

        def turn(page: ScanPage) -> Steps[None]:
            if page.lost:
                yield segment.append(ERROR, outcome_line(lost(self.type)))
            segment.firm = page.rest or segment.firm

        yield from self.walk(progress.position, take, turn)
        yield from segment.cut(segment.firm, done=True)
        return segment.progress

    def walk(self, position: Position, take: Take, turn: Turn | None = None) -> Steps[None]:
        """Hands all candidates behind a position to `take`, with their visible versions. `turn`: after each page."""
        rest: Position | None = position
        listing = yield from begun(self.scan.page(position))
        while rest is not None:
            page = yield from asked(listing)
            if page.rest is not None:
                listing = yield from begun(self.scan.page(page.rest))
            yield from self._page(page.candidates, take)
            if turn is not None:
                yield from turn(page)
            rest = page.rest

    def _page(self, candidates: Sequence[Candidate], take: Take) -> Steps[None]:
        reading: deque[tuple[Sequence[Candidate], Protocol[list[Visible]]]] = deque()
        begin = 0
        while True:
            while len(reading) < self.bounds.ahead and begin < len(candidates):
                under_way = sum(len(batch) for batch, _ in reading)
                size = min(self.at_once, self._room - under_way)
                if size < 1:
                    break
                batch = candidates[begin : begin + size]
                begin += len(batch)
                resources = [self.keys.resource(self.type, candidate.id) for candidate in batch]
                protocol = versions_at(resources, self.selection.plan.at, limits=self.limits)
                reading.append((batch, (yield from begun(protocol))))
            if not reading:
                return
            batch, protocol = reading.popleft()
            found = yield from asked(protocol)
            self._learn(found)
            yield from take(batch, found)

    def _learn(self, found: Sequence[Visible]) -> None:
        """Takes note of the sizes of resources that were read."""
        sizes = [len(seen.resource or b"") for seen in found if isinstance(seen, Record)]
        self._largest = max(1, *sizes, self._largest or 0)

    @property
    def _room(self) -> int:
        """How many resources may be in memory: one at first, and few where one was large, as others may be so too."""
        return 1 if self._largest is None else max(1, _ROOM // self._largest)

    @property
    def at_once(self) -> int:
        """How many resources may be read in one batch."""
        return min(self.bounds.at_once, self._room)

    def _append(self, segment: Segment, taken: Sequence[Taken]) -> Steps[None]:
        """Adds to the segment, in order; ends it where its file is full."""
        lines = [one.data for one in taken if one.kind == OUTPUT]
        size = sum(map(len, lines)) + len(lines)
        if len(lines) == len(taken) and segment.fits(self.bounds, size, len(lines)):
            if lines:
                yield segment.append(OUTPUT, *lines)
                segment.firm = taken[-1].then
            return
        for one in taken:
            if one.kind and segment.exceeds(self.bounds, len(one.data) + 1):
                yield from segment.cut(segment.firm)
            if one.kind == DELETED:
                yield from segment.delete(one.data.decode())
            elif one.kind:
                yield segment.append(one.kind, one.data)
            segment.firm = one.then

    def taken(self, batch: Sequence[Candidate], found: Sequence[Visible]) -> Steps[list[Taken]]:
        """Returns what becomes of each candidate that has a visible version."""
        taken: list[Taken] = []
        for candidate, seen in zip(batch, found, strict=True):
            if seen is None:
                continue
            kind, data, digest = "", b"", None
            if isinstance(seen, Damaged):
                kind, data = ERROR, self._damaged(candidate.id, archived=seen.archived)
            elif candidate.is_here(seen) and self.is_in_time(seen):
                if seen.resource is not None:
                    kind, data, digest = OUTPUT, seen.resource, seen.sha256
                elif self.tells_deletions and (yield from self._is_told(candidate.id, seen)):
                    kind, data = DELETED, f"{self.type}/{candidate.id}".encode()
            taken.append(Taken(candidate.id, kind, data, candidate.then, digest))
        if any(one.kind == OUTPUT for one in taken):
            return (yield from self._selected(taken))
        return taken

    def _selected(self, taken: list[Taken]) -> Steps[list[Taken]]:
        """Returns the same with the lines of those that are exported."""
        size = sum(len(one.data) for one in taken)
        if size <= LARGE and not self.selection.parses(self.type):
            return self._lines(taken)
        return (yield from worked(lambda: self._lines(taken), size))

    def _lines(self, taken: list[Taken], inside: Mapping[str, bool] | None = None) -> list[Taken]:
        """`inside`: by id, for resources that do not tell by themselves whether they belong to the patients."""
        return [self._line(one, None if inside is None else inside.get(one.id)) for one in taken]

    def _line(self, one: Taken, inside: bool | None) -> Taken:
        if one.kind != OUTPUT:
            return one
        if one.digest is not None and sha256(one.data) != one.digest:
            return replace(one, kind=ERROR, data=self._damaged(one.id))
        try:
            line = self.selection.line(self.type, one.data, in_compartment=inside)
        except Unreadable:
            return replace(one, kind=ERROR, data=self._damaged(one.id))
        return replace(one, kind="", data=b"") if line is None else replace(one, data=line)

    def patients(self, id: str, resource: JsonObject) -> frozenset[str]:
        """Returns the exported patients that a resource which was taken belongs to."""
        return self.selection.patients(resource)

    @property
    def looks_inside(self) -> bool:
        """Whether the content decides which resources are exported."""
        return self.selection.looks_inside(self.type)

    @property
    def tells_deletions(self) -> bool:
        """Whether deleted resources are told: the client has what was there before `_since`."""
        return self.selection.plan.since is not None

    def is_in_time(self, record: Record) -> bool:
        """Returns whether the version's time is one that was asked for."""
        return self.selection.is_in_time(record)

    def _damaged(self, id: str, *, archived: bool = False) -> bytes:
        return outcome_line(damaged(self.type, id, archived=archived))

    def _is_told(self, id: str, tombstone: Record) -> Steps[bool]:
        """Returns whether the resource would have been exported as it was before its deletion."""
        if not self.looks_inside:
            return True
        before = yield from asked(self._version(id, tombstone.version - 1))
        if before is None or before.resource is None:
            return False
        (would,) = yield from self._selected([Taken(id, OUTPUT, before.resource, START)])
        return would.kind == OUTPUT

    def _version(self, id: str, version: int) -> Protocol[Record | None]:
        key = self.keys.resource(self.type, id).version(version)
        (reply,) = yield from ask(Get(key))
        try:
            return decode(reply.body, key) if isinstance(reply, StoredObject) else None
        except CorruptRecord:
            return None
