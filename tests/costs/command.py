"""The commands of `python -m tests.costs`."""

from __future__ import annotations

import asyncio
import json as stdlib
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from conformance.processes import ServerFailed
from conformance.rates.load import LoadFailed
from conformance.rates.run import STORES
from server.commands.load import CannotLoad
from tests.costs.bundles import BundleRow
from tests.costs.bundles import measure as measure_bundles
from tests.costs.counts import UnexpectedAnswer, counts_on, sentence
from tests.costs.resources import resources

app = typer.Typer(name="costs", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.command()(resources)
_WIDTH = 118


@app.callback()
def costs() -> None:
    """Measure what needs the internals of the library and the server."""


@app.command()
def counts(
    stores: Annotated[str, typer.Option(help="Which of ours, separated by commas.")] = ",".join(STORES),
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Storage requests and sequential round trips of each interaction, counted exactly."""
    progress = Console(stderr=True)
    try:
        with progress.status("counting"):
            found = {store: asyncio.run(counts_on(store)) for store in _chosen(stores)}
    except (ServerFailed, UnexpectedAnswer) as error:
        progress.print(str(error), markup=False)
        raise typer.Exit(1) from error
    if json:
        named = {store: {name: asdict(count) for name, count in of.items()} for store, of in found.items()}
        sys.stdout.write(stdlib.dumps(named, indent=2) + "\n")
        return
    table = Table("store", "interaction", "storage requests", box=box.MARKDOWN)
    table.add_column("round trips", justify="right")
    for store, of in found.items():
        for name, count in of.items():
            table.add_row(store, name, sentence(count.requests), str(count.round_trips))
    Console(width=_WIDTH).print(table)


@app.command()
def bundles(
    paths: Annotated[list[Path], typer.Argument(help="Files of Bundles, or folders of them.")],
    stores: Annotated[str, typer.Option(help="Which of ours, separated by commas.")] = "embedded,s3",
    rounds: Annotated[int, typer.Option(min=1, help="Loads of each kind; medians are shown.")] = 3,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests in flight.")] = 16,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Bundles and resources per second, against the same resources created one by one."""
    chosen = _chosen(stores)
    progress = Console(stderr=True)
    try:
        with progress.status("starting") as status:
            rows = measure_bundles(paths, chosen, rounds=rounds, concurrency=concurrency, say=status.update)
    except (LoadFailed, ServerFailed, CannotLoad) as error:
        progress.print(str(error), markup=False)
        raise typer.Exit(1) from error
    if json:
        sys.stdout.write(stdlib.dumps([asdict(row) for row in rows], indent=2) + "\n")
    else:
        Console(width=_WIDTH).print(_table(rows))


def _chosen(stores: str) -> list[str]:
    """The stores that were named. Raises BadParameter when one is unknown."""
    chosen = [name.strip() for name in stores.split(",") if name.strip()]
    if not chosen or not set(chosen) <= set(STORES):
        raise typer.BadParameter(f"choose from {', '.join(STORES)}", param_hint="--stores")
    return chosen


def _table(rows: list[BundleRow]) -> Table:
    table = Table(box=box.MARKDOWN)
    table.add_column("store", no_wrap=True)
    for heading in ("bundles", "resources", "bundles/s", "resources/s", "single creates/s", "ratio"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        sizes = (f"{row.bundles}", f"{row.resources:,}", f"{row.bundles_rate:.1f}")
        table.add_row(row.store, *sizes, f"{row.resources_rate:,.0f}", f"{row.creates_rate:,.0f}", f"{row.ratio:.2f}")
    return table
