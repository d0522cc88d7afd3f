"""A manifest in pages, which a client may read while the export runs (`allowPartialManifests`).

A page lists files that are complete, and never changes: `manifest/{n}.json`, written IfAbsent (the commit point) once
the progress of a task lists them. A worker first reads the pages that are there; so no file is on two of them, even if
two workers believe to own the job. When the export is complete, its pages list all files.

The files with the issues of the request are on every page; those that say what could not be exported, on one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fhirstore.commit.messages import Absent, Get, Protocol
from fhirstore.commit.reading import ask
from fhirstore.export.manifest import ExportManifest, ManifestFile, decode_manifest
from fhirstore.export.progress import TaskProgress
from fhirstore.export.request import Plan
from fhirstore.format.keyspace import JobKeys
from fhirstore.jobs.lease import put_once

FIRST = "1"


def page_key(job: JobKeys, name: str) -> str:
    """The key of a page. `name`: a number."""
    return f"{job.prefix}manifest/{name}.json"


@dataclass(slots=True)
class PageWriter:
    """Writes pages. `shared`: files that are on every page."""

    job: JobKeys
    plan: Plan
    shared: tuple[ManifestFile, ...] = ()
    _written: int = 0
    _listed: set[str] = field(default_factory=set)

    def add(self, progress: TaskProgress) -> Protocol[None]:
        """Lists the files of a task that are on no page yet. 1 GET, and 1 PUT if there are any. Raises Unavailable."""
        yield from self._catch_up()
        while any(file.name not in self._listed for file in (*progress.output, *progress.deleted, *progress.error)):
            page = ExportManifest(
                transaction_time=self.plan.at,
                request=self.plan.url,
                output=self._new(progress.output),
                deleted=self._new(progress.deleted),
                error=(*self.shared, *self._new(progress.error)),
            )
            key = page_key(self.job, str(self._written + 1))
            self._take(decode_manifest((yield from put_once(key, page.encode())), key))

    def _catch_up(self) -> Protocol[None]:
        while True:
            key = page_key(self.job, str(self._written + 1))
            (reply,) = yield from ask(Get(key))
            if isinstance(reply, Absent):
                return
            self._take(decode_manifest(reply.body, key))

    def _take(self, page: ExportManifest) -> None:
        self._written += 1
        self._listed.update(file.name for file in page.files)

    def _new(self, files: tuple[ManifestFile, ...]) -> tuple[ManifestFile, ...]:
        return tuple(file for file in files if file.name not in self._listed)


def read_page(job: JobKeys, name: str) -> Protocol[ExportManifest | None]:
    """Returns a page, with the name of the one after it; None if it is not there. 2 GET. Raises CorruptRecord."""
    if not name.isascii() or not name.isdigit() or len(name) > 9:
        return None
    following = str(int(name) + 1)
    key = page_key(job, name)
    here, after = yield from ask(Get(key), Get(page_key(job, following)))
    if isinstance(here, Absent):
        return None
    page = decode_manifest(here.body, key)
    return page if isinstance(after, Absent) else page.followed_by(following)
