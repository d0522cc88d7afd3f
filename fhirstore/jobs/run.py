"""One run of a claimed job: the work beside its heartbeats, and what its end makes of the job's state.

| `run` ends by | state |
|---|---|
| returning | completed |
| JobFailed | failed, with the issues as `issues` of its work |
| JobPaused | waiting, not before its time |
| any other error | waiting, after a pause that grows; failed after `attempts` without a checkpoint |
| the end of the process | waiting: handed back, and the attempt does not count |
| LeaseLost | as the new owner, or who cancelled it, wrote it |
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

import msgspec

from fhirstore.commit.drive import drive
from fhirstore.commit.idempotent import stored
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Protocol, Result
from fhirstore.errors import FhirError, FhirStoreError, Issue
from fhirstore.format.keyspace import JobKeys
from fhirstore.jobs.kind import JobFailed, JobFile, JobKind, JobPaused
from fhirstore.jobs.lease import Lease, LeaseLost, checkpoint, end
from fhirstore.jobs.log import Field, JobLog
from fhirstore.jobs.metadata import JobMetadata
from fhirstore.jobs.pace import Pacer
from fhirstore.jobs.progress import Progress, put, take
from fhirstore.jobs.queue import Entry
from fhirstore.jobs.removal import EXPIRES_AT, finish
from fhirstore.jobs.state import COMPLETE, FAIL, RELEASE, RETRY
from fhirstore.tenancy import Place

ISSUES = "issues"
"""The member of a failed job's work that holds its OperationOutcome issues."""

_FIRST_PAUSE = 2_000  # ms
_LONGEST_PAUSE = 300_000
_FLUSH = 3.0  # seconds
_HAND_BACK = 0.8  # seconds


class Run:
    """A run of one job; it is the `JobWork` of its kind."""

    def __init__(
        self,
        kind: JobKind,
        place: Place,
        *,
        context: Context,
        entry: Entry,
        keys: JobKeys,
        metadata: JobMetadata,
        lease: Lease,
        pacer: Pacer,
    ) -> None:
        self.place = place
        self.context = context
        self.keys = keys
        self.metadata = metadata
        self.pacer = pacer
        self.work: Mapping[str, object] = lease.state.work
        self.epoch = lease.state.epoch
        self.ended = ""  # complete or failed, once it has ended
        self._kind = kind
        self._entry = entry
        self._lease = lease
        self._writing = asyncio.Lock()
        self._progress: dict[str, Progress] = {}
        self._log = JobLog(place.objects, keys, self.epoch)

    # --- what the kind may do -------------------------------------------------------------------------------

    @property
    def kind(self) -> str:
        """The name of its kind."""
        return self._entry.name.kind

    @property
    def id(self) -> str:
        """The job's id."""
        return self._entry.name.id

    @property
    def expires(self) -> int:
        return self._lease.state.expires

    @property
    def renewed(self) -> int:
        """When the lease was renewed last, epoch ms."""
        return self._lease.state.expires - self._lease.length

    def now(self) -> int:
        return self.place.objects.now()

    async def checkpoint(self, work: Mapping[str, object]) -> None:
        await self._renew(work)

    async def progress(self, name: str) -> Mapping[str, object] | None:
        key = self.keys.progress(name)
        found = self._progress[name] = await self._drive(take(key, self.epoch))
        return found.body

    async def put_progress(self, name: str, body: Mapping[str, object]) -> None:
        before = self._progress.get(name)
        if before is None:
            before = await self._drive(take(self.keys.progress(name), self.epoch))
        self._progress[name] = await self._drive(put(before, body))

    async def add_file(self, file: JobFile) -> None:
        await self._drive(stored(self.keys.file_record(file.name, self.epoch), msgspec.json.encode(file)))

    def log(self, event: str, **fields: Field) -> None:
        self._log.add(self.now(), event, **fields)

    # --- from its claim to its end --------------------------------------------------------------------------

    async def to_end(self) -> None:
        """Does the job as far as it goes. Raises nothing but CancelledError and what the store's errors leave open."""
        self.log("begin", attempt=self._lease.state.attempts)
        work: asyncio.Task[Mapping[str, object]] = asyncio.create_task(self._work())
        beats = asyncio.create_task(self._beat())
        settling: asyncio.Task[None] | None = None
        try:
            await asyncio.wait([work, beats], return_when=asyncio.FIRST_COMPLETED)
            if not work.done():  # the lease is lost, or cannot be renewed
                work.cancel()
                await asyncio.wait([work])
            beats.cancel()
            await asyncio.gather(beats, return_exceptions=True)
            settling = asyncio.create_task(self._settle(work))
            await asyncio.shield(settling)
        except asyncio.CancelledError:
            if settling is None:
                await self._hand_back(work, beats)
            else:
                await asyncio.wait([settling], timeout=_HAND_BACK)
            raise
        finally:
            await self._log.flush()

    async def _work(self) -> Mapping[str, object]:
        if self._lease.state.attempts > self._kind.attempts:
            raise JobFailed(Issue("exception", f"The job was given up: {self._kind.attempts} workers ended in it"))
        return await self._kind.run(self)

    async def _beat(self) -> None:
        """Renews the lease at a third of it, and writes the log. Returns when the lease is lost or has run out."""
        next_flush = 0.0
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(_FLUSH, self._lease.length / 3000))
            try:
                if self._lease.due(self.now()):
                    await self._renew(None)
            except LeaseLost:
                return
            except FhirStoreError:
                if self.now() > self._lease.state.expires:
                    return
            if loop.time() >= next_flush or self._log.is_full_part:
                next_flush = loop.time() + _FLUSH
                await self._log.flush()

    async def _renew(self, work: Mapping[str, object] | None) -> None:
        """Renews the lease. The PUT is finished even if the caller is cancelled, so that the lease stays ours."""

        async def renewed() -> None:
            async with self._writing:
                self._lease = await self._drive(checkpoint(self._lease, context=self.context, work=work))
                self.work = self._lease.state.work

        await asyncio.shield(asyncio.create_task(renewed()))

    async def _settle(self, work: asyncio.Task[Mapping[str, object]]) -> None:
        """Writes what the end of the work makes of the state."""
        if work.cancelled():  # by a heartbeat: the lease is lost
            self.log("lease lost")
            return
        error = work.exception()
        try:
            if error is None:
                await self._finish(COMPLETE, work.result())
            elif isinstance(error, LeaseLost):
                self.log("lease lost")
            elif isinstance(error, JobPaused):
                self.log("paused")
                kept = self.work if error.work is None else error.work
                await self._drive(end(self._lease, RELEASE, work=kept, until=error.until))
            elif isinstance(error, JobFailed):
                await self._fail(error.issues)
            else:
                await self._try_again(error)
        except LeaseLost:
            self.log("lease lost")

    async def _fail(self, issues: tuple[Issue, ...]) -> None:
        told = [
            {
                "severity": one.severity,
                "code": one.code,
                "diagnostics": one.diagnostics,
                "expression": list(one.expression),
            }
            for one in issues
        ]
        await self._finish(FAIL, {**self.work, ISSUES: told})

    async def _try_again(self, error: BaseException) -> None:
        attempts = self._lease.state.attempts
        self.log("attempt failed", attempt=attempts, error=type(error).__name__, detail=_told(error))
        if attempts >= self._kind.attempts:
            issues = error.issues if isinstance(error, FhirError) else (Issue("exception", _reason(error, attempts)),)
            await self._fail(issues)
            return
        pause = min(_FIRST_PAUSE * 2 ** max(0, attempts - 1), _LONGEST_PAUSE)
        await self._drive(end(self._lease, RETRY, until=self.now() + pause))

    async def _finish(self, event: str, work: Mapping[str, object]) -> None:
        if self._kind.keep is not None and EXPIRES_AT not in work:
            work = {**work, EXPIRES_AT: self.now() + self._kind.keep}
        self.log(f"{event}d" if event == COMPLETE else "failed")
        await self._log.flush()
        await self._drive(finish(self.place.keys, self._lease, self._entry, self.keys, event, work=work))
        self.ended = "complete" if event == COMPLETE else "failed"

    async def _hand_back(self, work: asyncio.Task[Mapping[str, object]], beats: asyncio.Task[None]) -> None:
        """The process ends, or the job was cancelled here: ends the work, and gives the lease back if it is ours."""
        for task in (work, beats):
            task.cancel()
        with suppress(TimeoutError, FhirStoreError):
            async with asyncio.timeout(_HAND_BACK):
                await asyncio.gather(work, beats, return_exceptions=True)
                self.log("handed back")
                await self._log.flush()
                async with self._writing:
                    await self._drive(end(self._lease, RELEASE))

    async def _drive(self, protocol: Protocol[Result]) -> Result:
        return await drive(protocol, self.place.objects)


def _told(error: BaseException) -> str:
    """Returns what may be said of an error. The library's messages hold no data of a patient; others might."""
    return str(error) if isinstance(error, FhirStoreError) else ""


def _reason(error: BaseException, attempts: int) -> str:
    text = f"The job was given up after {attempts} attempts; the last one ended with {type(error).__name__}"
    return f"{text}: {_told(error)}" if _told(error) else text
