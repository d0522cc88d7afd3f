"""`clinic.exports`: starts exports, says how far they are, cancels them, and opens their files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace

import msgspec

from fhirstore.access.sight import Sight
from fhirstore.batched import batched
from fhirstore.commit.drive import drive
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Absent, Get, Protocol, Result
from fhirstore.commit.reading import ask, look
from fhirstore.commit.side_by_side import side_by_side
from fhirstore.errors import InvalidResource, Issue, NotFound
from fhirstore.export.export import file_key, manifest_key
from fhirstore.export.granted import granted
from fhirstore.export.job import KIND, WORDS
from fhirstore.export.manifest import FORMAT, ExportManifest, ManifestFile, decode_manifest
from fhirstore.export.members import members_at
from fhirstore.export.pages import FIRST, read_page
from fhirstore.export.progress import task_progress
from fhirstore.export.request import PATIENT, ExportRequest, Plan, check
from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.jobs.tenant import Job, Jobs, no_such_job
from fhirstore.objects.base import ObjectStream, by_any_clock
from fhirstore.tenancy import Place

WAITING, RUNNING, COMPLETED, FAILED = "waiting", "running", "completed", "failed"

_AHEAD = 10  # ms; versions of one resource that were made within a millisecond have times a little ahead
_AT_ONCE = 16
_SHOWN = 5  # ids in a message


@dataclass(frozen=True, slots=True)
class Export:
    """An export that was started. `ignored`: what of the request was left out, or informs."""

    id: str
    ignored: tuple[Issue, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportStatus:
    """`status`: waiting, running, completed or failed. `progress`: less than 100 characters for X-Progress.

    `retry_after`: seconds until the next poll is worth it. `manifest`: of a completed export; of a running one that may
    be read in pages, its first page, if there is one. `failure`: why it failed. `expires_at`: epoch ms at which an
    export that has ended is removed with its files. `created`: epoch ms. `url`: of the kick-off.
    """

    status: str
    progress: str = ""
    retry_after: int = 1
    manifest: ExportManifest | None = None
    failure: tuple[Issue, ...] = ()
    expires_at: int | None = None
    created: int = 0
    url: str = ""


@dataclass(frozen=True, slots=True)
class Exports:
    """The exports of one tenant."""

    _place: Place
    _context: Context
    _jobs: Jobs
    _definitions: Definitions
    _sight: Sight | None = None

    async def start(self, request: ExportRequest) -> Export:
        """Starts an export of the state at this time, T. Returns as soon as it is queued.

        T is a little ahead: no write that was acknowledged before, by whichever process, has a later time.

        Raises AccessDenied; InvalidResource, UnknownType, Unsupported (a parameter); NotFound, Gone (the Group);
        TooManyJobs.
        """
        if self._sight is not None:
            request = granted(request, self._sight, self._definitions)
        at = by_any_clock(self._place.objects) + _AHEAD
        plan = check(request, self._definitions, at=at)
        plan = await self._with_patients(plan, lenient=request.lenient)
        if self._sight is not None:
            plan = msgspec.structs.replace(plan, client=self._sight.access.client)
        job = await self._jobs.create(KIND, msgspec.to_builtins(plan), by=request.by)
        return Export(job.id, plan.issues)

    async def status(self, id: str) -> ExportStatus:
        """Returns how far an export is. 3 GET. Raises NotFound: unknown, cancelled, expired, of another client."""
        job = await self._job(id)
        plan = _plan(job)
        status = ExportStatus(status=job.status, created=job.metadata.created, url=plan.url, expires_at=job.expires_at)
        first = await self._drive(read_page(job.keys, FIRST)) if plan.partial_manifests else None
        if job.status == COMPLETED:
            return replace(status, manifest=first or await self._manifest(job))
        status = replace(status, manifest=first)
        if job.status == FAILED:
            return replace(status, failure=tuple(map(_issue, job.issues)))
        settled_in = plan.at + self._context.limits.settled - self._context.now()
        if settled_in > 0:
            seconds = settled_in // 1000 + 1
            text = f"Waiting {seconds} s for transactions under way at the time of the snapshot"
            return replace(status, progress=text, retry_after=min(seconds, 10))
        told = await self._jobs.progress(job, WORDS) or {}
        return replace(status, progress=str(told.get("text", "Waiting for a worker")), retry_after=2)

    async def page(self, id: str, name: str) -> ExportManifest:
        """Returns a page of a manifest that has several, by the `more` of the one before. 4 GET. Raises NotFound."""
        job = await self._job(id)
        page = await self._drive(read_page(job.keys, name)) if _plan(job).partial_manifests else None
        if page is None:
            raise NotFound("The manifest of this export has no such page")
        return page

    async def cancel(self, id: str) -> None:
        """Cancels an export, or removes one that has ended, with all its files. Raises NotFound where there is none."""
        if self._sight is not None:
            await self._job(id)
        await self._jobs.remove(id, kind=KIND)

    async def file(self, id: str, name: str) -> ManifestFile:
        """Returns the facts of a file of the manifest. 3 GET. Raises NotFound."""
        return (await self._file(id, name))[1]

    async def key(self, id: str, name: str) -> str:
        """Returns the key of a file in the tenant's store, for a presigned URL. Raises NotFound."""
        job, file = await self._file(id, name)
        return file_key(job.keys, file.name)

    async def presigned(self, id: str, names: Iterable[str], *, expires_in: int) -> dict[str, str]:
        """Returns URLs by which whoever has them reads these files for `expires_in` seconds. 2 GET.

        The names must be of its manifest. Raises NotFound, StoreCannot (the store has no such URLs).
        """
        job = await self._job(id)
        sign = self._place.objects.presign_get
        return {
            name: await sign(file_key(job.keys, name), expires_in=expires_in, filename=name, content_type=FORMAT)
            for name in names
        }

    def open_file(
        self, id: str, name: str, *, start: int = 0, end: int | None = None
    ) -> AbstractAsyncContextManager[ObjectStream]:
        """Reads bytes [start, end) of a file of the manifest, as `async with`. Raises NotFound on entering."""

        @asynccontextmanager
        async def opened() -> AsyncIterator[ObjectStream]:
            key = await self.key(id, name)
            async with self._place.objects.get_stream(key, start=start, end=end) as stream:
                yield stream

        return opened()

    async def _job(self, id: str) -> Job:
        """Returns the job of an export that this client may know of: its own, or any for an administrator.

        An app may have both users and a backend under one client id: exports are of those who act for no patient.
        """
        job = await self._jobs.get(id, kind=KIND)
        access = None if self._sight is None else self._sight.access
        if access is not None and not access.admin:
            of_system = any(scope.context == "system" for scope in access.scopes)
            if not of_system or _plan(job).client != access.client:
                raise no_such_job()
        return job

    async def _file(self, id: str, name: str) -> tuple[Job, ManifestFile]:
        job = await self._job(id)
        files: Sequence[ManifestFile] = ()
        if job.status == COMPLETED:
            files = (await self._manifest(job)).files
        elif job.status != FAILED and _plan(job).partial_manifests:
            files = await self._files_so_far(job, name)
        for file in files:
            if file.name == name:
                return job, file
        raise NotFound("No such file; its export may have been cancelled, or have expired")

    async def _files_so_far(self, job: Job, name: str) -> Sequence[ManifestFile]:
        """Returns the complete files of the task whose file has this name."""
        task = name.removeprefix("error.").removeprefix("deleted.").partition(".")[0]
        try:
            key = job.keys.progress(task)
        except ValueError:
            return ()
        progress = task_progress(await self._jobs.progress(job, task), key)
        return (*progress.output, *progress.deleted, *progress.error)

    async def _manifest(self, job: Job) -> ExportManifest:
        key = manifest_key(job.keys)
        (reply,) = await self._drive(ask(Get(key)))
        if isinstance(reply, Absent):
            raise NotFound("No such export; it may have been cancelled, or have expired")
        return decode_manifest(reply.body, key)

    async def _with_patients(self, plan: Plan, *, lenient: bool) -> Plan:
        """Returns the plan with those of its patients who exist, or are members of the Group.

        Raises NotFound, Gone, Unsupported (the Group); InvalidResource where a patient is not there, and the request is
        not lenient.
        """
        members: frozenset[str] | None = None
        if plan.group is not None:
            group = members_at(self._place.keys, plan.group, plan, limits=self._context.limits)
            members = await self._drive(group)
        if plan.patients is None:
            return plan
        there = await self._existing(plan.patients) if members is None else members
        missing = [id_ for id_ in plan.patients if id_ not in there]
        if not missing:
            return plan
        shown = ", ".join(f"{PATIENT}/{id_}" for id_ in missing[:_SHOWN])
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        text = f"patient: {shown}{more}: {'unknown' if members is None else 'not in the Group'}"
        if not lenient:
            raise InvalidResource(text, code="not-found")
        issue = Issue("not-found", f"patient was left out: {text}", severity="warning")
        patients = tuple(id_ for id_ in plan.patients if id_ in there)
        return msgspec.structs.replace(plan, patients=patients, issues=(*plan.issues, issue))

    async def _existing(self, ids: Sequence[str]) -> set[str]:
        found: set[str] = set()
        for some in batched(ids, _AT_ONCE):
            looks = [look(self._place.keys.resource(PATIENT, id_)) for id_ in some]
            for id_, (base, _) in zip(some, await self._drive(side_by_side(looks)), strict=True):
                if base.shown is not None and not base.shown.deleted:
                    found.add(id_)
        return found

    async def _drive(self, protocol: Protocol[Result]) -> Result:
        return await drive(protocol, self._place.objects)


def _plan(job: Job) -> Plan:
    return msgspec.convert(job.metadata.request, Plan)


def _issue(told: Mapping[str, object]) -> Issue:
    expression = told.get("expression")
    return Issue(
        str(told.get("code", "exception")),
        str(told.get("diagnostics", "")),
        tuple(map(str, expression)) if isinstance(expression, list) else (),
        str(told.get("severity", "error")),
    )
