"""The commands `fhirstore upload` and `fhirstore download`: a bar with rate and time left, a summary, exit codes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import aiohttp
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bar

from fhirstore.clock import SystemClock, SystemIds
from fhirstore.errors import FhirStoreError
from server.commands.export.asking import Asker
from server.commands.interruption import Interruption
from server.commands.progress_lines import EVERY, ProgressLines
from server.commands.retries import Retries
from server.commands.running import run
from server.commands.transfer.downloading import download, reference_of
from server.commands.transfer.here import LocalPlace
from server.commands.transfer.place import Place
from server.commands.transfer.remote import RemotePlace
from server.commands.transfer.summary import Progress, TransferSummary
from server.commands.transfer.uploading import upload
from server.commands.urls import fhir_base
from server.process.deployment import open_store
from server.settings import Settings

_DEFAULT = "default"  # the tenant of a store, where none is named

Show = Callable[[Progress], None]


class CannotTransfer(Exception):
    """The transfer cannot begin; the message says why."""


def run_upload(
    file: Path,
    settings: Settings | None,
    *,
    server: str,
    tenant: str | None = None,
    token: str | None = None,
    content_type: str | None = None,
    concurrency: int = 4,
    as_json: bool = False,
    progress_every: float = EVERY,
) -> int:
    """Uploads and prints. `settings`: of the store to write to; None: to the server.

    `token`: sent to the server. Returns the exit code.

    0: the file is a Binary. 1: it is not. 2: it could not start. Interrupted: 130 by SIGINT, 143 by SIGTERM.
    """

    async def work(place: Place, show: Show, interruption: Interruption) -> TransferSummary:
        return await upload(
            place,
            file,
            content_type=content_type,
            concurrency=concurrency,
            on_progress=show,
            interruption=interruption,
        )

    return _run(work, settings, server, tenant, token=token, as_json=as_json, every=progress_every)


def run_download(
    reference: str,
    file: Path,
    settings: Settings | None,
    *,
    server: str,
    tenant: str | None = None,
    token: str | None = None,
    as_json: bool = False,
    progress_every: float = EVERY,
) -> int:
    """Downloads and prints; arguments and exit codes as for `run_upload`."""
    named = reference_of(reference)

    async def work(place: Place, show: Show, interruption: Interruption) -> TransferSummary:
        if named is None:
            raise CannotTransfer(f"{reference!r} does not name a Binary; say Binary/ID")
        return await download(place, named, file, retries=Retries(), on_progress=show, interruption=interruption)

    return _run(work, settings, server, tenant, token=token, as_json=as_json, every=progress_every)


def _run(
    work: Callable[[Place, Show, Interruption], Awaitable[TransferSummary]],
    settings: Settings | None,
    server: str,
    tenant: str | None,
    *,
    token: str | None,
    as_json: bool,
    every: float,
) -> int:
    async def at_place(show: Show, interruption: Interruption) -> TransferSummary:
        try:
            async with _place(settings, server, tenant, token) as place:
                return await work(place, show, interruption)
        except (FhirStoreError, OSError) as error:
            raise CannotTransfer(str(error)) from error

    return run(at_place, bar=_bar, lines=_lines, every=every, cannot=CannotTransfer, as_json=as_json)


def _place(
    settings: Settings | None, server: str, tenant: str | None, token: str | None
) -> AbstractAsyncContextManager[Place]:
    return _remote(server, tenant, token) if settings is None else _here(settings, tenant or _DEFAULT)


@asynccontextmanager
async def _remote(server: str, tenant: str | None, token: str | None) -> AsyncIterator[Place]:
    base = fhir_base(server)
    if base is None:
        raise CannotTransfer("--server: must be the http or https URL of a FHIR server")
    if tenant is not None and not (tenant.isascii() and tenant.isprintable()):
        raise CannotTransfer("--tenant: must be printable ASCII, as the value of a header")
    async with aiohttp.ClientSession() as client:
        asker = Asker(client, base, token=token, tenant=tenant, retries=Retries(), clock=SystemClock(), ids=SystemIds())
        yield RemotePlace(asker, base, tenant=tenant)


@asynccontextmanager
async def _here(settings: Settings, tenant: str) -> AsyncIterator[Place]:
    async with open_store(settings) as store:
        yield LocalPlace(store.tenant(tenant), f"{settings.store} {tenant}")


@asynccontextmanager
async def _bar(_: float) -> AsyncIterator[Show]:
    """Shows progress on a terminal: a bar for each phase, with rate and time left."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        phase, task = "", bar.add_task("", total=None)

        def show(progress: Progress) -> None:
            nonlocal phase, task
            if progress.phase != phase:  # another phase has a rate of its own
                bar.remove_task(task)
                task = bar.add_task(progress.phase, total=progress.total or None, completed=progress.done)
                phase = progress.phase
            bar.update(task, total=progress.total or None, completed=progress.done)

        yield show


@asynccontextmanager
async def _lines(every: float) -> AsyncIterator[Show]:
    """Shows progress as lines."""
    progress: Progress | None = None

    def show(now: Progress) -> None:
        nonlocal progress
        progress = now

    def line() -> str:
        return "no answer yet" if progress is None else progress.line()

    async with ProgressLines(line, every=every).ticking():
        yield show
