"""The command `fhirstore export`: progress by type, a summary on standard output, exit codes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from server.commands.export.exporting import DAY, export
from server.commands.export.job import Method
from server.commands.export.order import CannotExport, Order
from server.commands.export.progress import Progress
from server.commands.export.summary import ExportSummary
from server.commands.interruption import Interruption
from server.commands.pace import Pace, time_left
from server.commands.progress_lines import EVERY, ProgressLines
from server.commands.running import run


def run_export(
    order: Order,
    folder: Path,
    *,
    since_file: Path | None = None,
    token: str | None = None,
    method: Method = "auto",
    concurrency: int = 4,
    keep: bool = False,
    deadline: float = DAY,
    as_json: bool = False,
    progress_every: float = EVERY,
) -> int:
    """Exports and prints. Returns 0: everything is there. 1: something failed or is missing. 2: could not start.

    Interrupted: 130 by SIGINT, which cancels the job; 143 by SIGTERM, after which the same command goes on.
    """

    async def work(on_progress: Callable[[Progress], None], interruption: Interruption) -> ExportSummary:
        return await export(
            order,
            folder,
            since_file=since_file,
            token=token,
            method=method,
            concurrency=concurrency,
            keep=keep,
            deadline=deadline,
            on_progress=on_progress,
            interruption=interruption,
        )

    return run(work, bar=_bars, lines=_lines, every=progress_every, cannot=CannotExport, as_json=as_json)


@asynccontextmanager
async def _bars(_: float) -> AsyncIterator[Callable[[Progress], None]]:
    """Shows progress on a terminal: a bar for each type that the server or the manifest names."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}"), TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        words = bars.add_task("export", total=None, told="")
        tasks: dict[str, TaskID] = {}
        paces: dict[str, Pace] = {}

        def task(type_: str) -> TaskID:
            if type_ not in tasks:
                tasks[type_] = bars.add_task(escape(type_), total=None, told="")
            return tasks[type_]

        def show(progress: Progress) -> None:
            if not progress.downloading:
                bars.update(words, told=escape(progress.words))
                for type_, percent in progress.percents().items():
                    bars.update(task(type_) if type_ else words, total=100, completed=percent)
                return
            bars.update(words, visible=False)
            for type_, row in progress.rows.items():
                pace = paces.setdefault(type_, Pace())
                pace.at(row.bytes)
                told = f"{row.whole:,} of {row.files:,} files, {row.bytes / 1e6:.1f} MB, {pace.megabytes()}"
                bars.update(task(type_), total=row.files, completed=row.whole, told=told)

        yield show


@asynccontextmanager
async def _lines(every: float) -> AsyncIterator[Callable[[Progress], None]]:
    """Shows progress as lines."""
    progress: Progress | None = None
    size, files = Pace(), Pace()

    def show(now: Progress) -> None:
        nonlocal progress
        progress = now
        if now.downloading:
            size.at(sum(row.bytes for row in now.rows.values()))
            files.at(sum(row.whole for row in now.rows.values()))

    def line() -> str:
        if progress is None or not progress.downloading:
            return "no answer yet" if progress is None else progress.line()
        left = files.left(sum(row.files for row in progress.rows.values()))
        return f"{progress.line()}, {size.megabytes()}{'' if left is None else f', {time_left(left)}'}"

    async with ProgressLines(line, every=every).ticking():
        yield show
