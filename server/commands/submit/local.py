"""A submission to the store that is configured, in this process: the same engine and job as a server's.

The job has a kind of its own, named for the order: no server's worker touches it, since none knows what the command may
read, and the same command finds it again. Until all manifests are processed the submission is in progress, so that it
can be stopped and undone; then it is completed.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from urllib.parse import urlsplit

from fhirstore import (
    FhirStore,
    GivenManifests,
    NetworkSources,
    SubmissionStatus,
    SubmitOptions,
    SubmitRequest,
    Submitter,
    Submitters,
    TenantStore,
)
from fhirstore.clock import SystemIds
from fhirstore.errors import FhirStoreError, NotFound, SubmissionEnded
from server.commands.interruption import Interruption
from server.commands.submit.order import (
    CannotSubmit,
    Inputs,
    Order,
    base_of,
    is_private,
    look_up,
    made_manifests,
    pages_of,
)
from server.commands.submit.outcomes import read_outcomes
from server.commands.submit.progress import Progress, Reach
from server.commands.submit.summary import SubmitSummary
from server.process.deployment import open_store
from server.settings import Settings

SUBMITTER = "urn:fhirstore:command|submit"
_TENANT = "default"
_LOOK = 0.3  # seconds between two looks at the status, at least
_ENDING = 5.0  # seconds for the worker to hand its job back
_LOOKS = 60  # until the job notes its end
_SETTLED = frozenset({"processed", "failed", "undone"})
_AGAIN = "To go on, run the command again with the same options; --stop takes back what it has written."


async def submit_here(
    order: Order,
    settings: Settings,
    *,
    stop: bool = False,
    deadline: float = 86_400.0,
    on_progress: Callable[[Progress], None] = lambda _: None,
    interruption: Interruption | None = None,
) -> SubmitSummary:
    """Submits to the store of the settings, or goes on with what an equal order began; `stop`: undoes that.

    Raises CannotSubmit before anything is written; later failures are in the summary. Memory: a segment of lines.
    """
    if order.ids == "remap" and order.base is None:
        raise CannotSubmit("--ids remap needs --fhir-base-url, from which the new ids are derived")
    interruption = interruption or Interruption()
    inputs = Inputs((), ()) if stop else await asyncio.to_thread(look_up, order)
    progress = Progress()
    local = {one.url: one.size for one in inputs.local}
    reach = Reach(local)
    progress.total = reach.total if len(local) == len(inputs.listed) and not inputs.manifests else 0

    def read(url: str, position: int) -> None:
        at = reach.at(url, position)
        if at is not None:
            progress.read = max(progress.read, at)

    pages = [f"urn:fhirstore:given:{order.letters}:{number}" for number in pages_of(inputs.listed)]
    manifests = made_manifests(inputs.listed, [one.url for one in inputs.listed], pages)
    submitter = _submitter(order)
    options = SubmitOptions(
        submitters=Submitters([submitter]),
        sources=GivenManifests(manifests, NetworkSources(s3=settings.s3), read),
        kind=f"submit{order.letters}",
    )
    try:
        async with open_store(settings, submitting=options) as store:
            await store.check()
            await store.refuse_unfinished_copies()
            clinic = store.tenant(submitter.tenant)
            run = _Run(order, clinic, submitter, kind=options.kind, progress=progress, on_progress=on_progress)
            await run.run(store, [*pages[:1], *inputs.manifests], interruption, stop=stop, deadline=deadline)
            return run.summary
    except FhirStoreError as error:
        raise CannotSubmit(str(error)) from error


class _Run:
    """One command's work on a submission."""

    def __init__(
        self,
        order: Order,
        clinic: TenantStore,
        submitter: Submitter,
        *,
        kind: str,
        progress: Progress,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self.summary = SubmitSummary(f"tenant {submitter.tenant}", submitter.identifier, "")
        self._order = order
        self._clinic = clinic
        self._submitter = submitter.identifier
        self._kind = kind
        self._progress = progress
        self._on_progress = on_progress
        self._job = ""
        self._began = time.perf_counter()

    async def run(
        self, store: FhirStore, manifests: list[str], interruption: Interruption, *, stop: bool, deadline: float
    ) -> None:
        """Does it, and leaves the result in `summary`. Raises CannotSubmit, FhirStoreError before it has begun."""
        task = asyncio.current_task()
        interruption.ends(task)
        try:
            async with asyncio.timeout(deadline):
                await self._begin(manifests, stop=stop)
                await self._work(store, stop=stop)
        except TimeoutError:
            self.summary.stopped, self.summary.again = f"not done within {deadline:g} s", _AGAIN
        except asyncio.CancelledError:
            if task is None or not interruption.given_up or task.uncancel() > 0:
                raise
            by = interruption.by
            self.summary.status, self.summary.again = "interrupted", _AGAIN
            self.summary.stopped = f"interrupted by {by.name}" if by is not None else "interrupted"
        finally:
            interruption.ends(None)
            self.summary.seconds = time.perf_counter() - self._began

    async def _begin(self, manifests: list[str], *, stop: bool) -> None:
        """Sends the first requests; each may be repeated by the same command."""
        live = [job for job in await self._clinic.jobs.list(self._kind) if job.is_live]
        self.summary.resumed = bool(live)
        known = live[0].metadata.request.get("submission") if live else None
        self.summary.submission = str(known or SystemIds().new())
        self._job = live[0].id if live else ""
        if stop:
            if not live:
                raise CannotSubmit("--stop: no submission of this command, with these options, is unfinished")
            try:
                await self._clinic.submissions.submit(self._request("stopped"))
            except SubmissionEnded:  # it is being taken back already, or all was processed, and it is complete
                return
            except NotFound as error:
                raise CannotSubmit("--stop: the submission had not begun; there is nothing to take back") from error
            return
        try:
            for url in manifests:
                self._job = (await self._clinic.submissions.submit(self._request("in-progress", url))).job
        except SubmissionEnded:
            if not live:
                raise
        except FhirStoreError:
            if not live and self._job:  # a later manifest is refused: nothing was read yet, and nothing is to stay
                await self._clinic.jobs.cancel(self._job)
            raise

    async def _work(self, store: FhirStore, *, stop: bool) -> None:
        """Runs a worker until the submission is finished, and sums up."""
        ended = asyncio.Event()
        worker = asyncio.create_task(store.worker(only=self._kind, at_once=1, poll=1.0, say=_say).run(ended))
        try:
            status = await self._finished()
            await self._sum_up(status, stop=stop)
        except FhirStoreError as error:
            self.summary.stopped, self.summary.again = str(error), _AGAIN
        finally:
            ended.set()
            await asyncio.wait([worker], timeout=_ENDING)
            worker.cancel()

    async def _finished(self) -> SubmissionStatus:
        """Waits until everything is processed, completes the submission, and waits for its end."""
        while True:
            began = time.perf_counter()
            status = await self._clinic.submissions.status(self._submitter, self.summary.submission)
            self._progress.words = status.progress
            self._on_progress(self._progress)
            if status.failure:
                return status
            if status.finished:
                await self._job_ends()
                return status
            if status.state == "in-progress" and all(one.state in _SETTLED for one in status.manifests):
                await self._clinic.submissions.submit(self._request("completed"))
                continue
            # A status of many manifests is many requests.
            await asyncio.sleep(max(_LOOK, 4 * (time.perf_counter() - began)))

    async def _job_ends(self) -> None:
        """Waits until the job notes its end; otherwise the next command would take it for unfinished."""
        for _ in range(_LOOKS):
            if not (await self._clinic.jobs.get(self._job)).is_live:
                return
            await asyncio.sleep(_LOOK)

    async def _sum_up(self, status: SubmissionStatus, *, stop: bool) -> None:
        summary, submissions = self.summary, self._clinic.submissions
        summary.manifests = len(status.manifests)
        summary.status = "undone" if status.state == "stopped" else "complete"
        counts = [one.counts for one in status.manifests]
        for name in ("lines", "created", "updated", "deleted", "unchanged", "existing", "failed"):
            summary.counts[name] = sum(int(getattr(one, name)) for one in counts)
        summary.kept = sum(one.kept for one in status.manifests)
        if status.failure:
            summary.status, summary.stopped = "failed", status.failure[0].diagnostics
        elif stop and status.state != "stopped":
            summary.stopped = "it was complete already, and cannot be taken back any more"
        elif status.state == "stopped" and not stop:
            summary.stopped = "an earlier --stop of it had not ended, and was done first; now run the command again"
        for manifest, file in status.files:
            _, known = await submissions.file(self._submitter, summary.submission, f"{manifest.id}.{file.name}")
            chunks = self._chunks(f"{manifest.id}.{known.name}")
            async with aclosing(chunks):
                await read_outcomes(summary, chunks, told=known.severities)

    async def _chunks(self, name: str) -> AsyncGenerator[bytes]:
        key, _ = await self._clinic.submissions.file(self._submitter, self.summary.submission, name)
        async with self._clinic.submissions.open_file(key) as stream:
            async for chunk in stream:
                yield chunk

    def _request(self, status: str, url: str | None = None) -> SubmitRequest:
        return SubmitRequest(
            submitter=self._submitter,
            submission_id=self.summary.submission,
            status=status,
            manifest_url=url,
            fhir_base_url=base_of(self._order) if url is not None else None,
        )


def _submitter(order: Order) -> Submitter:
    """Returns a submitter who may read what the order names, and nothing else."""
    http = [urlsplit(url) for url in order.urls if not url.startswith("s3:")]
    folders = {str(path if path.is_dir() else path.parent) for path in map(Path.resolve, order.paths)}
    try:
        hosts = {(f"[{url.hostname}]" if ":" in str(url.hostname) else str(url.hostname), url.port) for url in http}
        named = sorted(name if port is None else f"{name}:{port}" for name, port in hosts)
        submitter = Submitter(
            identifier=order.submitter or SUBMITTER,
            tenant=order.tenant or _TENANT,
            hosts=(*named, *order.hosts),
            plain_http=order.private or any(url.scheme == "http" for url in http),
            private_addresses=order.private or any(is_private(str(url.hostname)) for url in http),
            folders=tuple(sorted(folders)),
            buckets=tuple(f"{url.rpartition('/')[0]}/" for url in order.urls if url.startswith("s3:")),
            ids="remap" if order.ids == "remap" else "keep",
            mode=order.mode or "replace",  # type: ignore[arg-type] # order_of checked it
        )
        Submitters([submitter])  # checks it
    except (FhirStoreError, ValueError) as error:
        raise CannotSubmit(str(error)) from error
    return submitter


def _say(line: str) -> None:
    sys.stderr.write(f"fhirstore: {line}\n")
