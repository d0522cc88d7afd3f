"""The command `fhirstore load`: a progress bar on a terminal, else lines; a summary on standard output; exit codes."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from server.commands.interruption import Interruption
from server.commands.load.loading import Progress, load
from server.commands.load.reading import CannotLoad
from server.commands.load.summary import LoadSummary
from server.commands.pace import Pace, time_left
from server.commands.progress_lines import EVERY, ProgressLines
from server.commands.running import run


def run_load(
    paths: Sequence[Path],
    url: str,
    *,
    concurrency: int = 16,
    tenant: str | None = None,
    bundles: str = "process",
    token: str | None = None,
    as_json: bool = False,
    progress_every: float = EVERY,
) -> int:
    """Loads and prints. Returns 0: all is stored. 1: something failed or is unknown. 2: could not start.

    Interrupted: 130 by SIGINT, 143 by SIGTERM.
    """
    if tenant is not None and not (tenant.isascii() and tenant.isprintable()):
        sys.stderr.write("fhirstore: --tenant: must be printable ASCII, as the value of a header\n")
        return 2
    headers = {} if tenant is None else {"X-Tenant-ID": tenant}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"

    async def work(on_progress: Callable[[Progress], None], interruption: Interruption) -> LoadSummary:
        return await load(
            paths,
            url,
            concurrency=concurrency,
            bundles=bundles,
            headers=headers,
            on_progress=on_progress,
            interruption=interruption,
        )

    return run(work, bar=_bar, lines=_lines, every=progress_every, cannot=CannotLoad, as_json=as_json)


@asynccontextmanager
async def _bar(_: float) -> AsyncIterator[Callable[[Progress], None]]:
    """Shows progress on a terminal, as a bar."""
    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        pace = Pace()

        def show(progress: Progress) -> None:
            failed = f", [red]{progress.failed} failed[/]" if progress.failed else ""
            pace.at(progress.stored + progress.failed)
            text = f"{progress.stored:,} stored{failed}, {pace.count('resources')}"
            bar.update(task, total=progress.total, completed=progress.position, description=text)

        yield show


@asynccontextmanager
async def _lines(every: float) -> AsyncIterator[Callable[[Progress], None]]:
    """Shows progress as lines. The rate is that since the last line, so that a stall is visible."""
    progress: Progress | None = None
    before = (time.monotonic(), 0)
    pace = Pace()

    def show(now: Progress) -> None:
        nonlocal progress
        progress = now
        pace.at(now.position)

    def line() -> str:
        nonlocal before
        if progress is None:
            return "no answer yet"
        earlier, at = before, time.monotonic()
        done = progress.stored + progress.failed
        before = at, done
        part = progress.position / progress.total if progress.total else 1.0
        rate = (done - earlier[1]) / (at - earlier[0])
        left = pace.left(progress.total)
        return (
            f"{progress.position / 1e6:.1f} of {progress.total / 1e6:.1f} MB read ({part:.0%}), {progress.stored:,} "
            f"stored, {progress.failed:,} failed, {rate:,.0f} resources/s"
            f"{'' if left is None else f', {time_left(left)}'}"
        )

    async with ProgressLines(line, every=every).ticking():
        yield show
