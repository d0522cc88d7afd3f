"""The command `fhirstore submit`: a progress bar on a terminal, else lines; a summary; exit codes."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from server.commands.interruption import Interruption
from server.commands.pace import Pace
from server.commands.progress_lines import EVERY, ProgressLines
from server.commands.running import run
from server.commands.submit.local import submit_here
from server.commands.submit.order import CannotSubmit, Order
from server.commands.submit.progress import Progress
from server.commands.submit.remote import submit_to
from server.commands.submit.summary import SubmitSummary
from server.settings import Settings


def run_submit(
    order: Order,
    settings: Settings | None,
    *,
    url: str | None = None,
    token: str | None = None,
    serve: str | None = None,
    stop: bool = False,
    deadline: float = 86_400.0,
    as_json: bool = False,
    progress_every: float = EVERY,
) -> int:
    """Submits to the server at `url`, else to the store of `settings`, and prints. Returns the exit code.

    0: everything is done, and no outcome is an error. 1: lines were refused, or it is not done. 2: it could not start.
    Interrupted: 130 by SIGINT, 143 by SIGTERM; the submission stays, and the same command goes on with it.
    """

    async def work(on_progress: Callable[[Progress], None], interruption: Interruption) -> SubmitSummary:
        if url is None:
            assert settings is not None  # noqa: S101 - the command line reads them where there is no URL
            return await submit_here(
                order, settings, stop=stop, deadline=deadline, on_progress=on_progress, interruption=interruption
            )
        return await submit_to(
            url,
            order,
            token=token,
            serve=serve,
            stop=stop,
            deadline=deadline,
            on_progress=on_progress,
            on_begin=_name,
            interruption=interruption,
        )

    return run(work, bar=_bar, lines=_lines, every=progress_every, cannot=CannotSubmit, as_json=as_json)


def _name(summary: SubmitSummary) -> None:
    """Names the submission as soon as the server has it: who is killed cannot do so any more."""
    sys.stderr.write(f"fhirstore: submission {summary.submission} of {summary.submitter}\n")


@asynccontextmanager
async def _bar(_: float) -> AsyncIterator[Callable[[Progress], None]]:
    """Shows progress on a terminal, as a bar."""
    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        pace = Pace()

        def show(progress: Progress) -> None:
            pace.at(progress.read)
            told = ", ".join(filter(None, (pace.megabytes() if progress.total else "", escape(progress.words))))
            bar.update(task, total=progress.total or None, completed=progress.read, description=told)

        yield show


@asynccontextmanager
async def _lines(every: float) -> AsyncIterator[Callable[[Progress], None]]:
    """Shows progress as lines."""
    progress = Progress()
    pace = Pace()

    def show(now: Progress) -> None:
        nonlocal progress
        progress = now
        pace.at(now.read)

    def line() -> str:
        return f"{progress.line()}; {pace.megabytes(progress.total)}" if progress.total else progress.line()

    async with ProgressLines(line, every=every).ticking():
        yield show
