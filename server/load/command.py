"""The command around a load: a progress bar on a terminal, the summary on standard output, an exit code."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from server.load.loading import Progress, load
from server.load.reading import CannotLoad
from server.load.summary import LoadSummary


def run_load(
    paths: Sequence[Path],
    url: str,
    *,
    concurrency: int = 16,
    tenant: str | None = None,
    bundles: str = "process",
    as_json: bool = False,
) -> int:
    """Load and print. 0: all is stored. 1: something failed or is unknown. 2: could not start. 130: interrupted."""
    headers = {} if tenant is None else {"X-Tenant-ID": tenant}
    try:
        summary = asyncio.run(_with_bar(paths, url, concurrency=concurrency, bundles=bundles, headers=headers))
    except CannotLoad as error:
        sys.stderr.write(f"fhirstore: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("fhirstore: interrupted; what was sent before is stored, and may be sent again\n")
        return 130
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(summary.as_json())).decode() + "\n")
    else:
        Console(soft_wrap=True).print(summary.render())
    return 0 if summary.ok else 1


async def _with_bar(
    paths: Sequence[Path], url: str, *, concurrency: int, bundles: str, headers: dict[str, str]
) -> LoadSummary:
    console = Console(stderr=True)
    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def show(progress: Progress) -> None:
            failed = f", [red]{progress.failed} failed[/]" if progress.failed else ""
            text = f"{progress.stored} stored{failed}"
            bar.update(task, total=progress.total, completed=progress.position, description=text)

        shown = None if bar.disable else show
        return await load(paths, url, concurrency=concurrency, bundles=bundles, headers=headers, on_progress=shown)
