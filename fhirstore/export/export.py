"""A whole export, as steps: one task after the other, then the manifest, which is the seal.

| step | requests |
|---|---|
| settle | 1 GET a second, until the store's clock is past T + `Limits.settled` |
| members | of a Group: 1 GET for it and for each nested one; frozen in `members.json` (IfAbsent) |
| types | 1 LIST, where the request names none |
| per task | 1 GET + 1 PUT to take it over; the scan; 1 GET per candidate; 1 PUT per segment beside its files |
| seal | 1 PUT `manifest.json` (IfAbsent): **the commit point** of the output |

Each step is decided by what is stored, so that a worker that takes over goes on with the first task that is not done.
Two workers that both believe to own the job write different files, and one of them fails at its next `Save`; what is
sealed is what the progress of the tasks lists, which no worker can change any more once all tasks are done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol as Interface

import msgspec
from msgspec.structs import replace

from fhirstore.commit.limits import Limits
from fhirstore.commit.messages import Absent, Get, Protocol
from fhirstore.commit.reading import ask
from fhirstore.errors import CorruptRecord, Issue
from fhirstore.export.blocks import BlocksTask
from fhirstore.export.manifest import ExportManifest, ManifestFile, decode_manifest
from fhirstore.export.members import members_at
from fhirstore.export.outcomes import outcome_line
from fhirstore.export.progress import TaskProgress
from fhirstore.export.provenance import COMPARTMENT, ProvenanceTask
from fhirstore.export.request import PATIENT, PROVENANCE, Plan
from fhirstore.export.scan import START, EventScan, FolderScan, IdScan, Scan, stored_types
from fhirstore.export.selection import Selection
from fhirstore.export.snapshot import settled
from fhirstore.export.steps import Append, Save, Steps, asked, closed, loaded
from fhirstore.export.tasks import Bounds, TypeTask
from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.format.keyspace import JobKeys, Keyspace
from fhirstore.jobs.lease import put_once

REQUEST = "request"
"""The task that writes the issues of the request."""


def manifest_key(job: JobKeys) -> str:
    """The key of the seal."""
    return f"{job.prefix}manifest.json"


def file_key(job: JobKeys, name: str) -> str:
    """The key of a file of the output."""
    return f"{job.prefix}output/{name}"


def members_key(job: JobKeys) -> str:
    """The key of the frozen members of a Group."""
    return f"{job.prefix}members.json"


class Task(Interface):
    """A part of an export that is done on its own. `name`: of its progress and its files."""

    @property
    def name(self) -> str: ...

    def run(self, progress: TaskProgress) -> Steps[TaskProgress]: ...


@dataclass(frozen=True, slots=True)
class Export:
    """An export as one worker does it. `epoch`: of that worker's run."""

    plan: Plan
    keys: Keyspace
    job: JobKeys
    epoch: int
    definitions: Definitions
    limits: Limits
    bounds: Bounds

    def run(self) -> Steps[ExportManifest]:
        """Does what is left of the export. Returns the manifest that was sealed."""
        sealed = yield from asked(self._sealed())
        if sealed is not None:
            return sealed
        while not (yield from asked(settled(self.job.metadata, self.plan.at, limits=self.limits))):
            pass
        members = yield from self._members()
        selection = Selection.of(self.plan, self.definitions, members)
        done = [(yield from self._request())]
        for task in (yield from self._tasks(selection)):
            progress = yield from loaded(task.name)
            done.append(progress if progress.done else (yield from task.run(progress)))
        return (yield from asked(self._seal(done)))

    def survey(self, until: int, now: Callable[[], int]) -> Steps[None]:
        """Counts the candidates of the tasks, as far as that is done by `until` (epoch ms), for their progress.

        Makes use of the time until the snapshot is settled. 1 LIST per 1,000 keys.
        """
        types = self.plan.types
        if types is None:
            types = yield from self._stored_types()
        for type_ in types:
            progress = yield from loaded(type_)
            if progress != TaskProgress() or not self._is_counted(type_):
                continue
            count, position = 0, START
            scan = self._scan(type_, None)
            while now() < until:
                page = yield from asked(scan.page(position))
                count += page.keys
                if page.rest is None:
                    yield Save(type_, TaskProgress(total=count))
                    break
                position = page.rest

    def _is_counted(self, type: str) -> bool:
        """Whether the task for a type looks at what a scan of the type finds."""
        plan = self.plan
        if plan.organize_by is not None or (type == PROVENANCE and plan.associated):
            return False
        return type != PATIENT or (plan.group is None and plan.patients is None)

    def _stored_types(self) -> Steps[tuple[str, ...]]:
        stored = yield from asked(stored_types(self.keys))
        return tuple(sorted(type_ for type_ in stored if type_ in self.definitions.resources))

    def _sealed(self) -> Protocol[ExportManifest | None]:
        key = manifest_key(self.job)
        (reply,) = yield from ask(Get(key))
        return None if isinstance(reply, Absent) else decode_manifest(reply.body, key)

    def _members(self) -> Steps[frozenset[str] | None]:
        """Returns the patients whose compartments are exported; None for those of all."""
        asked_for = None if self.plan.patients is None else frozenset(self.plan.patients)
        if self.plan.group is None:
            return asked_for
        members = yield from asked(self._frozen(self.plan.group))
        return members if asked_for is None else members & asked_for

    def _frozen(self, group: str) -> Protocol[frozenset[str]]:
        """Returns the members at T: as an earlier worker has frozen them, or as they are read now."""
        key = members_key(self.job)
        (reply,) = yield from ask(Get(key))
        if isinstance(reply, Absent):
            found = yield from members_at(self.keys, group, self.plan, limits=self.limits)
            body = yield from put_once(key, msgspec.json.encode(sorted(found)))
        else:
            body = reply.body
        try:
            return frozenset(msgspec.json.decode(body, type=list[str]))
        except msgspec.MsgspecError as error:
            raise CorruptRecord(key) from error

    def _request(self) -> Steps[TaskProgress]:
        """Writes one OperationOutcome for each issue of the request."""
        progress = yield from loaded(REQUEST)
        if progress.done:
            return progress
        issues = self.plan.issues
        if issues:
            name = f"error.{REQUEST}.1.{self.epoch}.ndjson"
            yield Append("error", name, [outcome_line(issue) for issue in issues])
        files = yield from closed()
        error = tuple(
            ManifestFile(
                type="OperationOutcome",
                name=file.name,
                count=file.count,
                size=file.size,
                sha256=file.sha256,
                severities=_counted(issues),
            )
            for file in files.values()
        )
        progress = TaskProgress(error=error, done=True)
        yield Save(REQUEST, progress)
        return progress

    def _tasks(self, selection: Selection) -> Steps[Sequence[Task]]:
        types = self.plan.types
        if types is None:
            types = yield from self._stored_types()
        tasks = [self._task(type_, selection) for type_ in types if type_ != PROVENANCE]
        if self.plan.associated or PROVENANCE in types:
            tasks.append(self._provenance(selection))
        if self.plan.organize_by is None:
            return tasks
        return [BlocksTask(tasks, selection, self.keys, self.limits, self.bounds, self.epoch)]

    def _task(self, type: str, selection: Selection) -> TypeTask:
        scan = self._scan(type, selection.members)
        return TypeTask(type, scan, selection, self.keys, self.limits, self.bounds, self.epoch)

    def _provenance(self, selection: Selection) -> TypeTask:
        """Returns the task for Provenance, whose targets decide unless all of it was asked for."""
        if selection.whole and not self.plan.associated:
            return self._task(PROVENANCE, selection)
        scan = self._scan(PROVENANCE, selection.members)
        if self.plan.associated:
            scan = FolderScan(self.keys, PROVENANCE, self.bounds.page_size)
        rule = self.plan.associated or COMPARTMENT
        return ProvenanceTask(PROVENANCE, scan, selection, self.keys, self.limits, self.bounds, self.epoch, rule=rule)

    def _scan(self, type: str, members: frozenset[str] | None) -> Scan:
        size = self.bounds.page_size
        if type == PATIENT and members is not None:
            return IdScan(sorted(members), size)
        if self.plan.since is not None:
            return EventScan(self.keys, type, self.plan.since, self.plan.at, size)
        return FolderScan(self.keys, type, size)

    def _seal(self, done: Sequence[TaskProgress]) -> Protocol[ExportManifest]:
        """Writes the manifest, unless it is there. Returns the one that is there. Raises Unavailable."""
        manifest = ExportManifest(
            transaction_time=self.plan.at,
            request=self.plan.url,
            output=_continued([file for task in done for file in task.output]),
            deleted=tuple(file for task in done for file in task.deleted),
            error=tuple(file for task in done for file in task.error),
            organized_by=self.plan.organize_by,
        )
        key = manifest_key(self.job)
        return decode_manifest((yield from put_once(key, manifest.encode())), key)


def _continued(files: Sequence[ManifestFile]) -> tuple[ManifestFile, ...]:
    """Returns the files; those whose last block goes on name the file after them."""
    found = list(files)
    for n, file in enumerate(files[:-1]):
        if file.continues_in is not None:
            found[n] = replace(file, continues_in=files[n + 1].name)
    return tuple(found)


def _counted(issues: Sequence[Issue]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for issue in issues:
        counts[issue.severity] = counts.get(issue.severity, 0) + 1
    return counts
