"""The jobs of one tenant: created, listed, looked at, cancelled and removed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import msgspec

from fhirstore.batched import batched
from fhirstore.commit.drive import drive
from fhirstore.commit.idempotent import removed
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Protocol, Result
from fhirstore.errors import CorruptRecord, NotFound, ObjectNotFound, StoreCannot, TooManyJobs
from fhirstore.format.keyspace import JobKeys, QueueName, is_job_id
from fhirstore.jobs.job import Job
from fhirstore.jobs.kind import JobFile
from fhirstore.jobs.lease import change
from fhirstore.jobs.limits import JobLimits
from fhirstore.jobs.log import read_log
from fhirstore.jobs.metadata import JobMetadata, decode_metadata
from fhirstore.jobs.progress import decode_progress
from fhirstore.jobs.queue import Entry, create, entry_of, place_of
from fhirstore.jobs.removal import Seen, cancel, clear, discard, due_of, let_go, looked_at
from fhirstore.jobs.signals import JobSignals
from fhirstore.jobs.state import GOING, WAKE, State, after, decode_state
from fhirstore.objects.base import ObjectStream
from fhirstore.objects.folders import list_all
from fhirstore.tenancy import Place

__all__ = ["SIGNED_FOR", "Job", "Jobs", "no_such_job"]

SIGNED_FOR = 3_600
"""Seconds that a signed URL of a file is valid."""

_AT_ONCE = 16
_PLAIN = re.compile(r"[A-Za-z0-9._-]{1,150}")
_FILES = 100_000  # records of files that are read for one list


class Jobs:
    """The jobs of one tenant. Every method raises Unavailable where the store does not answer."""

    def __init__(self, place: Place, context: Context, signals: JobSignals, limits: JobLimits) -> None:
        self._place = place
        self._context = context
        self._signals = signals
        self._limits = limits

    async def create(
        self,
        kind: str,
        request: Mapping[str, object],
        *,
        by: str = "",
        prefix: str | None = None,
        work: Mapping[str, object] | None = None,
    ) -> Job:
        """Creates a job and wakes the workers of this process. Returns it, waiting.

        `request`: the kind's own JSON, kept in `metadata.json`. `by`: who asks, for the operator. `prefix`: where the
        job is, below the tenant's prefix (`bulk/…/`), instead of `bulk/{kind}/{id}/`; it is never used again after the
        job's removal. `work`: what the first run begins with. Raises TooManyJobs; JobExists where the prefix has a job.
        """
        keys, most, begun = self._place.keys, self._limits.most, dict(work or {})
        wanted = JobMetadata(kind=kind, id="", created=self._context.now(), request=request, by=by)
        metadata = await self._drive(create(keys, wanted, prefix=prefix, most=most, context=self._context, work=begun))
        if metadata is None:
            raise TooManyJobs(f"{most} jobs are running or queued already; try again when one of them has ended")
        self._signals.work_waits(self._place.tenant)
        return Job(metadata, State(work=begun), place_of(keys, metadata, prefix))

    async def list(self, kind: str | None = None, *, most: int = 1000) -> list[Job]:
        """Returns up to `most` jobs: the live ones, the oldest first, then the ended ones, the next to expire first.

        1 LIST per 1,000 jobs, 3 GET per job. Jobs that are damaged, or on their way out, are left out.
        """
        entries: dict[str, Entry] = {}
        async for entry in self._entries():
            if len(entries) >= most:
                break
            if kind is None or entry.name.kind == kind:
                entries.setdefault(entry.name.id, entry)
        found: list[Job] = []
        for some in batched(list(entries.values()), _AT_ONCE):
            for job in await asyncio.gather(*[self._at(entry) for entry in some], return_exceptions=True):
                if isinstance(job, Job):
                    found.append(job)
                elif not isinstance(job, NotFound | CorruptRecord):
                    raise job
        return found

    async def get(self, id: str, *, kind: str | None = None) -> Job:
        """Returns a job. 2 GET where the `kind` is given and the job is at that kind's usual place, else 1 LIST more.

        Raises NotFound, also for a job that is being removed; CorruptRecord.
        """
        if kind is not None and is_job_id(id):
            try:
                return await self.at(self._place.keys.job(kind, id).removeprefix(self._place.keys.prefix))
            except NotFound:
                pass
        return await self._at(await self._entry(id))

    async def at(self, prefix: str) -> Job:
        """Returns the job at this prefix below the tenant's. 2 GET. Raises NotFound, CorruptRecord."""
        return await self._read(JobKeys(self._place.keys.prefix + prefix))

    async def cancel(self, id: str) -> Job:
        """Cancels a live job: of this and its completion exactly one happens. Returns it, cancelled.

        Its files are removed before this returns. A job that has ended is returned as it is, and keeps its files.
        Raises NotFound, CorruptRecord.
        """
        entry = await self._entry(id)
        job = await self._at(entry)
        state = await self._drive(cancel(job.keys, context=self._context))
        return await self._gone(entry, job, state)

    async def remove(self, id: str, *, kind: str | None = None) -> None:
        """Cancels a live job, and removes an ended one. From then on it is NotFound, and its files are deleted.

        Raises NotFound, CorruptRecord.
        """
        job = await self.get(id, kind=kind)
        entry = Entry(QueueName(job.kind, job.id), "", 0)
        if job.is_live:
            state = await self._drive(discard(job.keys, context=self._context))
        else:
            state = await self._drive(let_go(self._place.keys, job.keys, entry, context=self._context))
        await self._gone(entry, job, state)

    async def _gone(self, entry: Entry, job: Job, state: State | None) -> Job:
        if state is None:
            raise no_such_job()
        if state.status in GOING:
            self._signals.cancelled(job.keys.state)
            await self._drive(clear(self._place.keys, job.keys, entry, state))
            if not job.is_live and due_of(job.state) != due_of(state):
                filed = QueueName(job.kind, job.id, due_of(job.state))
                await self._drive(removed(self._place.keys.queued_job(filed)))
        return replace(job, state=state)

    async def wake(self, id: str, *, kind: str | None = None) -> None:
        """Lets a job that waits (paused, or after a failed attempt) be claimed now. Raises NotFound, CorruptRecord."""
        job = await self.get(id, kind=kind)

        def decide(state: State, _: int) -> State | None:
            return after(state, WAKE) if state.expires else None

        await self._drive(change(job.keys.state, decide, context=self._context))
        self._signals.work_waits(self._place.tenant)

    async def log(self, job: Job) -> AsyncIterator[dict[str, object]]:
        """Yields the lines of the job's log as far as they are written. Raises CorruptRecord."""
        async for line in read_log(self._place.objects, job.keys):
            yield line

    async def files(self, job: Job, *, most: int = _FILES) -> tuple[JobFile, ...]:
        """Returns the job's files in the order of their names. 1 LIST per 1,000 files, 1 GET per file.

        `most`: the most records to read. A file may have several, one for each run that wrote it; the last one counts.
        """
        keys: list[str] = []
        cursor: str | None = None
        while len(keys) < most:
            page = await self._place.objects.list(job.keys.file_records, cursor=cursor)
            keys += [item.key for item in page.objects]
            cursor = page.cursor
            if cursor is None:
                break
        newest = {key.rpartition("/")[0]: key for key in keys[:most]}  # in order of the epochs
        found: list[JobFile] = []
        for some in batched(list(newest.values()), _AT_ONCE):
            found += [file for file in await asyncio.gather(*[self._file(key) for key in some]) if file is not None]
        return tuple(found)

    async def file(self, job: Job, name: str) -> JobFile:
        """Returns one of the job's files. 1 LIST + 1 GET. Raises NotFound, CorruptRecord."""
        page = await self._place.objects.list(job.keys.records_of(name))
        file = await self._file(page.objects[-1].key) if page.objects else None
        if file is None:
            raise NotFound("The job has no such file")
        return file

    async def _file(self, key: str) -> JobFile | None:
        try:
            body = (await self._place.objects.get(key)).body
        except ObjectNotFound:
            return None
        try:
            return _decode_file(body)
        except msgspec.MsgspecError as error:
            raise CorruptRecord(key) from error

    def open_file(
        self, file: JobFile, *, start: int = 0, end: int | None = None
    ) -> AbstractAsyncContextManager[ObjectStream]:
        """Opens bytes [start, end) of a file, as stored. Raises ObjectNotFound on entering, ObjectDamaged."""
        return self._place.objects.get_stream(file.key, start=start, end=end)

    async def signed_url(self, file: JobFile, *, expires_in: int = SIGNED_FOR) -> str | None:
        """Returns a URL from which anybody can read the file for `expires_in` seconds; None where the store signs none.

        Sends no request. Raises RequestRefused where `expires_in` is more than the store allows.
        """
        content_type, name = file.content_type, file.name if _PLAIN.fullmatch(file.name) else None
        try:
            return await self._place.objects.presign_get(
                file.key, expires_in=expires_in, filename=name, content_type=content_type
            )
        except StoreCannot:
            return None

    async def progress(self, job: Job, name: str) -> Mapping[str, object] | None:
        """Returns a progress object; None if there is none (yet). 1 GET. Raises CorruptRecord."""
        key = job.keys.progress(name)
        try:
            return decode_progress((await self._place.objects.get(key)).body, key)[1]
        except ObjectNotFound:
            return None

    async def _entries(self) -> AsyncIterator[Entry]:
        async for item in list_all(self._place.objects, self._place.keys.job_queue()):
            entry = entry_of(item)
            if entry is not None:
                yield entry

    async def _entry(self, id: str) -> Entry:
        """Returns the entry of a job: the live one, if both are there. Raises NotFound."""
        async for entry in self._entries():
            if entry.name.id == id:
                return entry
        raise no_such_job()

    async def _at(self, entry: Entry) -> Job:
        """Returns the job that the entry leads to; if it was just filed away, by its other entry or usual place."""
        seen = await self._drive(looked_at(self._place.keys, entry))
        if seen.damaged:
            raise CorruptRecord(seen.damaged)
        if seen.job is not None:
            return await self._read(seen.job, seen)
        now = await self._entry(entry.name.id)
        if now.key != entry.key:
            return await self._at(now)
        return await self._read(JobKeys(self._place.keys.job(entry.name.kind, entry.name.id)))

    async def _read(self, keys: JobKeys, seen: Seen | None = None) -> Job:
        try:
            state = seen.state if seen else None
            if state is None:
                state = decode_state((await self._place.objects.get(keys.state)).body, keys.state)
            metadata = decode_metadata((await self._place.objects.get(keys.metadata)).body, keys.metadata)
        except ObjectNotFound as error:
            raise no_such_job() from error
        if state.status in GOING:
            raise no_such_job()
        return Job(metadata, state, keys)

    async def _drive(self, protocol: Protocol[Result]) -> Result:
        return await drive(protocol, self._place.objects)


def no_such_job() -> NotFound:
    """Returns the error for a job that is not there, or that the asker may not know of."""
    return NotFound("No such job; it may have been cancelled, or have expired")


_decode_file = msgspec.json.Decoder(JobFile).decode
