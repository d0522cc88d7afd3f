"""`python -m conformance bench export`: options in, a table out."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from conformance.bench.report import as_json, print_table
from conformance.bench.run import STORES, run
from conformance.processes import ServerFailed
from conformance.rates.load import LoadFailed


def export(
    stores: Annotated[str, typer.Option(help="Which of ours, separated by commas.")] = ",".join(STORES),
    resources: Annotated[int, typer.Option(min=100, help="How many are stored and exported.")] = 100_000,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Bulk export: resources per second, memory, storage requests, and the rate of reads meanwhile."""
    chosen = tuple(name.strip() for name in stores.split(",") if name.strip())
    if not chosen or not set(chosen) <= set(STORES):
        raise typer.BadParameter(f"choose from {', '.join(STORES)}", param_hint="--stores")
    progress = Console(stderr=True)
    try:
        with progress.status("starting") as status, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            results = runner.run(run(chosen, resources, status.update))
    except (LoadFailed, ServerFailed) as error:
        progress.print(str(error), markup=False)
        raise typer.Exit(1) from error
    if json:
        print(as_json(results))
    else:
        print_table(results, Console())
