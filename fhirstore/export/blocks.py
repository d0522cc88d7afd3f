"""Output organized by Patient: a block for each, with a header, the patient, and what is in the patient's compartment.

First all candidates are looked at, as in an export by type, and a row for each is kept on the worker's disk; then the
blocks are written in the order of the patients' ids, which reads each resource once more. A worker that takes over
makes the rows anew: at the same T they are the same.

A block is split only if it is larger than a file may be; then the header is repeated, and the manifest says where it
goes on. A resource in several compartments is in several blocks. Resources in none are left out.

https://hl7.org/fhir/uv/bulkdata/export.html#bulk-data-output-file-organization
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby

from fhirstore.commit.limits import Limits
from fhirstore.export.manifest import DELETED, ERROR, OUTPUT
from fhirstore.export.outcomes import lost, outcome_line
from fhirstore.export.progress import TaskProgress
from fhirstore.export.request import PATIENT
from fhirstore.export.scan import START, Candidate, Position, ScanPage
from fhirstore.export.selection import Selection, Unreadable, parsed
from fhirstore.export.snapshot import Visible, versions_at
from fhirstore.export.spool import BlockSpool, Row
from fhirstore.export.steps import Steps, asked, worked
from fhirstore.export.tasks import Bounds, Segment, Taken, TypeTask
from fhirstore.fhir import json
from fhirstore.format.keyspace import Keyspace
from fhirstore.format.record import Record

_NAME = "blocks"
_BEGIN: Row = ("", 0, "", "")


@dataclass(slots=True)
class BlocksTask:
    """Exports what the `tasks` take, in blocks."""

    tasks: Sequence[TypeTask]
    selection: Selection
    keys: Keyspace
    limits: Limits
    bounds: Bounds
    epoch: int
    name: str = _NAME
    _spool: BlockSpool = field(init=False)

    def run(self, progress: TaskProgress) -> Steps[TaskProgress]:
        """Does what is left of the task. Returns its progress, done."""
        self._spool = BlockSpool()
        try:
            for task in self.tasks:
                yield from task.walk(START, partial(self._collect, task), partial(self._told, task))
            segment = Segment(self.name, "", self.epoch, progress, progress.position)
            yield from self._write(segment)
            for kind, data in (yield from worked(self._spool.others, 0)):
                if kind == DELETED:
                    yield from segment.delete(data.decode())
                else:
                    yield segment.append(kind, data)
            yield from segment.cut(segment.firm, done=True)
        finally:
            self._spool.close()
        return segment.progress

    def _collect(self, task: TypeTask, batch: Sequence[Candidate], found: Sequence[Visible]) -> Steps[None]:
        """Keeps a row for each resource that is exported, and what is said of others."""
        taken = yield from task.taken(batch, found)
        records = {one.id: seen for one, seen in zip(batch, found, strict=True) if isinstance(seen, Record)}
        size = sum(len(record.resource or b"") for record in records.values())
        yield from worked(partial(self._keep, task, taken, records), size)

    def _told(self, task: TypeTask, page: ScanPage) -> Steps[None]:
        """Keeps what is said of a part of a listing that cannot be read."""
        if page.lost:
            yield from worked(lambda: self._spool.add([], [(ERROR, outcome_line(lost(task.type)))]), 0)

    def _keep(self, task: TypeTask, taken: Sequence[Taken], records: Mapping[str, Record]) -> None:
        rows: list[tuple[str, int, str, str, int]] = []
        for one in taken:
            if one.kind == OUTPUT:
                try:
                    patients = task.patients(one.id, parsed(records[one.id].resource or b""))
                except Unreadable:
                    continue
                rank = int(task.type != PATIENT)
                rows += [(patient, rank, task.type, one.id, len(one.data) + 1) for patient in patients]
        self._spool.add(rows, [(one.kind, one.data) for one in taken if one.kind not in ("", OUTPUT)])

    def _write(self, segment: Segment) -> Steps[None]:
        """Writes the blocks behind the segment's position."""
        at_once = min((task.at_once for task in self.tasks), default=1)
        last = _row(segment.progress.position)
        within = last[0]  # the patient whose block was begun by an earlier segment
        while True:
            rows = yield from worked(partial(self._spool.after, last, at_once), 0)
            if not rows:
                return
            for patient, some in groupby(rows, key=lambda row: row[0]):
                if patient != last[0]:
                    size, count = yield from worked(partial(self._spool.size, patient), 0)
                    header = _header(patient)
                    soon = yield segment.note()
                    if segment.exceeds(self.bounds, size + len(header) + 1, count + 1) or (soon and segment.count):
                        yield from segment.cut(_position(last))
                    yield segment.append(OUTPUT, header)
                elif within == patient:
                    yield segment.append(OUTPUT, _header(patient))
                within = ""
                last = yield from self._part(segment, last, list(some))

    def _part(self, segment: Segment, last: Row, rows: Sequence[Row]) -> Steps[Row]:
        """Writes resources of one block, which has its header. Returns the last row."""
        resources = [self.keys.resource(type_, id_) for _, _, type_, id_ in rows]
        found = yield from asked(versions_at(resources, self.selection.plan.at, limits=self.limits))
        size = sum(len(seen.resource or b"") for seen in found if isinstance(seen, Record))
        lines = yield from worked(partial(self._lines, rows, found), size)
        for row, line in zip(rows, lines, strict=True):
            if line is not None:
                if segment.exceeds(self.bounds, len(line) + 1):
                    segment.continues = True
                    yield from segment.cut(_position(last))
                    yield segment.append(OUTPUT, _header(row[0]))
                yield segment.append(OUTPUT, line)
            last = row
            segment.looked += 1
        return last

    def _lines(self, rows: Sequence[Row], found: Sequence[Visible]) -> list[bytes | None]:
        return [self._line(type_, seen) for (_, _, type_, _), seen in zip(rows, found, strict=True)]

    def _line(self, type: str, seen: Visible) -> bytes | None:
        """Returns the line of a resource; None if it was purged since it was looked at."""
        if not isinstance(seen, Record) or seen.resource is None:
            return None
        try:
            return self.selection.line(type, seen.resource, in_compartment=True)
        except Unreadable:
            return None


def _position(row: Row) -> Position:
    """Returns the position behind a row."""
    patient, rank, type_, id_ = row
    return Position(f"{rank} {type_} {id_}", patient)


def _row(position: Position) -> Row:
    if position.cursor is None or position.after is None:
        return _BEGIN
    rank, type_, id_ = position.cursor.split(" ")
    return (position.after, int(rank), type_, id_)


def _header(patient: str) -> bytes:
    reference = {"reference": f"{PATIENT}/{patient}"}
    return json.encode({"resourceType": "Parameters", "parameter": [{"name": "header", "valueReference": reference}]})
