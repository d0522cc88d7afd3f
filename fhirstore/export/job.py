"""The job that does an export: `export` as a kind of `fhirstore.jobs`.

While a snapshot is not settled, the job is paused, so that it holds no worker. Files are completed when they are full.
A job that several workers have begun already completes them sooner, the more often the sooner: where workers die again
and again, each must find some of its work done.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec

from fhirstore.commit.drive import drive
from fhirstore.errors import FhirError, Unavailable
from fhirstore.export.act import Acting
from fhirstore.export.export import REQUEST, Export, file_key
from fhirstore.export.manifest import FORMAT
from fhirstore.export.pages import PageWriter
from fhirstore.export.progress import TaskProgress, task_progress, words
from fhirstore.export.request import ExportOptions, Plan
from fhirstore.export.scan import PAGE
from fhirstore.export.steps import Note
from fhirstore.export.tasks import Bounds
from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.jobs.kind import JobFailed, JobFile, JobPaused, JobWork
from fhirstore.runs.files import WrittenFile
from fhirstore.tags import EXPORT, Tags

KIND = "export"
WORDS = "words"
"""The progress object that holds what X-Progress says."""

_SHORT_PAGE = 200  # keys
_AHEAD = 3  # times as many batches as are read at once may wait to be taken
_PAUSE = 5_000  # ms; a shorter wait is not worth handing the job back
_TOLD = 2_000  # ms between two words
_STEADY = 2  # runs that an undisturbed export has: before and after its snapshot is settled
_SOONER = (5_000, 1_000, 300)  # ms until files are completed, for each run more


@dataclass(frozen=True, slots=True)
class ExportJob:
    """The kind of job. `options`: how this process exports. `tags`: of the files."""

    definitions: Definitions
    options: ExportOptions
    tags: Tags = field(default_factory=Tags)
    name: str = KIND
    lease: int = 10_000
    attempts: int = 10

    @property
    def keep(self) -> int:
        """Milliseconds from the end of an export to its removal."""
        return self.options.expiry * 1000

    async def run(self, work: JobWork) -> Mapping[str, object]:
        """Does the export, from the last complete files on."""
        plan = msgspec.convert(work.metadata.request, Plan)
        in_process = work.place.objects.decides_together
        at_once = max(1, self.options.concurrency // (2 if in_process else 4))
        running = _Running(work, plan, self._soon(work.epoch))
        acting = Acting(
            work.place.objects,
            lambda name: file_key(work.keys, name),
            running.load,
            running.save,
            running.note,
            running.wrote,
            at_once=max(1, self.options.concurrency // at_once),
            pacer=work.pacer,
            facts=self.tags.facts(EXPORT, work.place.tenant, content_type=FORMAT, job=work.metadata.id),
        )
        export = Export(
            plan,
            work.place.keys,
            work.keys,
            work.epoch,
            self.definitions,
            work.context.limits,
            self._bounds(at_once, in_process=in_process),
        )
        try:
            settled_at = plan.at + work.context.limits.settled
            if settled_at - work.now() > _PAUSE:
                await acting.take(export.survey(settled_at - _PAUSE, work.now))
                raise JobPaused(settled_at, work.work)
            await acting.take(export.run())
        except Unavailable:
            raise
        except FhirError as error:
            raise JobFailed(*error.issues) from error
        return work.work

    def _bounds(self, at_once: int, *, in_process: bool) -> Bounds:
        """`at_once`: GETs in a batch.

        `in_process`: the store reads and lists in this process, on the event loop, so that a page must not take long.
        Elsewhere, more is read ahead, since the results are taken in order.
        """
        batches = max(1, self.options.concurrency // at_once)
        return Bounds(
            part_bytes=self.options.part_bytes,
            part_count=self.options.part_count,
            at_once=at_once,
            ahead=batches if in_process else _AHEAD * batches,
            page_size=_SHORT_PAGE if in_process else PAGE,
        )

    def _soon(self, epoch: int) -> int | None:
        more = epoch - _STEADY
        return None if more <= 0 else _SOONER[min(more, len(_SOONER)) - 1]


class _Running:
    """What a run writes about itself. `soon`: ms after which files are to be completed; None: when they are full."""

    def __init__(self, work: JobWork, plan: Plan, soon: int | None) -> None:
        self._work = work
        self._soon = soon
        self._saved = work.now()
        self._told = 0
        paged = plan.partial_manifests and plan.organize_by is None
        self._pages = PageWriter(work.keys, plan) if paged else None

    async def load(self, task: str) -> TaskProgress:
        self._saved = self._work.now()
        progress = task_progress(await self._work.progress(task), self._work.keys.progress(task))
        await self._add_pages(task, progress)
        if not progress.done:
            self._work.log("task begins", task=task, part=progress.part)
        return progress

    async def save(self, task: str, progress: TaskProgress) -> None:
        await self._work.put_progress(task, progress.body())
        await self._add_pages(task, progress)
        if progress.written or not progress.done:
            await self._work.checkpoint(self._work.work)
        self._saved = self._work.now()

    async def _add_pages(self, task: str, progress: TaskProgress) -> None:
        if self._pages is None:
            return
        if task == REQUEST:
            self._pages.shared = progress.error
        else:
            await drive(self._pages.add(progress), self._work.place.objects)

    async def note(self, note: Note) -> bool:
        now = self._work.now()
        if now - self._told >= _TOLD:
            self._told = now
            text = words(note.task, note.looked, note.written, note.total)
            with suppress(Unavailable):
                await self._work.put_progress(WORDS, {"text": text})
        return self._soon is not None and now - self._saved >= self._soon

    async def wrote(self, file: WrittenFile) -> None:
        facts = JobFile(
            name=file.name,
            key=file.key,
            size=file.size,
            sha256=file.sha256,
            count=file.count,
            raw_size=file.raw_size,
            encoding=file.encoding,
            content_type=FORMAT,
        )
        await self._work.add_file(facts)
        self._work.log("file written", name=file.name, count=file.count, size=file.size)
