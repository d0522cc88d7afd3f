"""The Provenance of what is exported. Its targets decide, which other resources may have to be read for.

| rule | a Provenance is exported |
|---|---|
| `COMPARTMENT` | if a target is a Patient whose compartment is exported, or in such a compartment |
| `RELEVANT` | if a target is exported itself, whatever the Provenance's own time |
| `LATEST` | if it is the latest Provenance of such a target, by `recorded` |

Without `includeAssociatedData`, the first holds for the levels patient and group, and Provenance is a type like any
other for the level system. The other two also hold where `_type` does not name Provenance.

Cost: 1 GET for each Provenance and, unless the answer is remembered, for each target. LATEST reads each Provenance
twice, because it must have seen all of them first; it keeps about 100 bytes per target on the worker's disk.

https://hl7.org/fhir/uv/bulkdata/export.html#query-parameters (`includeAssociatedData`)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from fhirstore.batched import batched
from fhirstore.export.request import LATEST, PATIENT, PROVENANCE, bases_of
from fhirstore.export.scan import START, Candidate, Position
from fhirstore.export.selection import Unreadable, parsed
from fhirstore.export.snapshot import Damaged, Visible, versions_at
from fhirstore.export.spool import LatestSpool
from fhirstore.export.steps import Steps, asked, worked
from fhirstore.export.tasks import Take, Taken, Turn, TypeTask
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.search_parameters.references import literal, target
from fhirstore.fhir.times import parse_instant
from fhirstore.format.record import Record

COMPARTMENT = "compartment"

_REMEMBERED = 50_000  # answers about targets
_MOST_TARGETS = 10_000  # of one Provenance

Target = tuple[str, str]
"""Type and id."""


@dataclass(slots=True)
class ProvenanceTask(TypeTask):
    """`rule`: COMPARTMENT, RELEVANT or LATEST."""

    rule: str = COMPARTMENT
    _answers: dict[Target, frozenset[str] | None] = field(default_factory=dict)
    _spool: LatestSpool | None = None
    _patients: dict[str, frozenset[str]] = field(default_factory=dict)

    def walk(self, position: Position, take: Take, turn: Turn | None = None) -> Steps[None]:
        if self.rule != LATEST:
            yield from super(ProvenanceTask, self).walk(position, take, turn)
            return
        self._spool = LatestSpool()
        try:
            yield from super(ProvenanceTask, self).walk(START, self._survey)
            yield from super(ProvenanceTask, self).walk(position, take, turn)
        finally:
            self._spool.close()

    def patients(self, id: str, resource: JsonObject) -> frozenset[str]:
        """Those of its targets, and its own."""
        return self._patients.get(id, frozenset()) | self.selection.patients(resource)

    @property
    def looks_inside(self) -> bool:
        return True

    def is_in_time(self, record: Record) -> bool:
        return self.selection.is_in_time(record) or (self.rule != COMPARTMENT and not record.deleted)

    def _survey(self, batch: Sequence[Candidate], found: Sequence[Visible]) -> Steps[None]:
        """Takes note of the targets of these."""
        records = [(one.id, seen) for one, seen in zip(batch, found, strict=True) if isinstance(seen, Record)]

        def add() -> None:
            rows: list[tuple[str, int, int, str]] = []
            for id_, record in records:
                resource = _content(record)
                if resource is not None:
                    recorded = _recorded(resource, record.t)
                    rows += [(f"{type_}/{of}", recorded, record.t, id_) for type_, of in self._targets(resource)]
            if self._spool is not None:
                self._spool.add(rows)

        yield from worked(add, sum(len(record.resource or b"") for _, record in records))

    def _selected(self, taken: list[Taken]) -> Steps[list[Taken]]:
        size = sum(len(one.data) for one in taken)
        targets = yield from worked(lambda: {one.id: self._considered(one) for one in taken}, size)
        yield from self._ask_about(list(dict.fromkeys(one for some in targets.values() for one in some)))
        answers = {id_: [self._answers.get(one) for one in some] for id_, some in targets.items()}
        inside = {id_: any(one is not None for one in some) for id_, some in answers.items()}
        self._patients = {id_: frozenset[str]().union(*filter(None, some)) for id_, some in answers.items()}
        self._forget()
        return (yield from worked(lambda: self._lines(taken, inside), size))

    def _considered(self, one: Taken) -> list[Target]:
        """Returns the targets that may put a Provenance into the export."""
        try:
            targets = self._targets(parsed(one.data)) if one.kind == "output" else []
        except Unreadable:
            return []
        if self._spool is None:
            return targets
        latest = self._spool.latest([f"{type_}/{id_}" for type_, id_ in targets])
        return [(type_, id_) for type_, id_ in targets if latest.get(f"{type_}/{id_}") == one.id]

    def _targets(self, resource: JsonObject) -> list[Target]:
        """Returns the targets that are resources of this server, of types that matter."""
        listed = resource.get("target")
        bases = bases_of(self.selection.plan.base)
        found: dict[Target, None] = {}
        for one in listed[:_MOST_TARGETS] if isinstance(listed, list) else []:
            at = target(literal(one))
            if at is not None and (not at[0] or at[0] in bases) and self._matters(at[1]):
                found[at[1], at[2]] = None
        return list(found)

    def _matters(self, type: str) -> bool:
        if type == PROVENANCE or type not in self.selection.definitions.resources:
            return False
        return self.rule == COMPARTMENT or self.selection.plan.exports(type)

    def _ask_about(self, targets: Sequence[Target]) -> Steps[None]:
        """Finds the answers that are not known yet."""
        unknown = [one for one in targets if one not in self._answers]
        for some in batched(unknown, self.bounds.at_once):
            resources = [self.keys.resource(*one) for one in some]
            found = yield from asked(versions_at(resources, self.selection.plan.at, limits=self.limits))
            size = sum(len(seen.resource or b"") for seen in found if isinstance(seen, Record))
            counts = partial(self._count_all, some, found)
            self._answers |= yield from worked(counts, size)

    def _count_all(self, targets: Sequence[Target], found: Sequence[Visible]) -> dict[Target, frozenset[str] | None]:
        return {one: self._counts(one, seen) for one, seen in zip(targets, found, strict=True)}

    def _counts(self, one: Target, seen: Visible) -> frozenset[str] | None:
        """Returns the patients of a target if it puts its Provenance into the export, else None.

        The patients are left out where nothing depends on them. `seen`: the visible version of the target.
        """
        type_, id_ = one
        if self.rule == COMPARTMENT and type_ == PATIENT:
            return frozenset({id_}) if self.selection.members is None or id_ in self.selection.members else None
        if seen is None or isinstance(seen, Damaged) or seen.resource is None:
            return None
        organized = self.selection.plan.organize_by is not None
        if self.rule != COMPARTMENT:
            if not self.selection.is_in_time(seen):
                return None
            if not organized and not self.selection.looks_inside(type_):
                return frozenset()
        resource = _content(seen)
        if resource is None:
            return None
        takes = self.selection.is_inside if self.rule == COMPARTMENT else self.selection.takes
        if not takes(type_, resource):
            return None
        return self.selection.patients(resource) if organized else frozenset()

    def _forget(self) -> None:
        if len(self._answers) > _REMEMBERED:
            self._answers.clear()


def _content(record: Record) -> JsonObject | None:
    try:
        return None if record.resource is None else parsed(record.resource)
    except Unreadable:
        return None


def _recorded(resource: JsonObject, otherwise: int) -> int:
    """Returns `Provenance.recorded`, epoch ms; `otherwise` where there is none that can be read."""
    text = resource.get("recorded")
    try:
        return parse_instant(text) if isinstance(text, str) else otherwise
    except ValueError:
        return otherwise
