"""`python -m conformance bench`: options in, tables out."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from conformance.bench.bundles import measure
from conformance.bench.counts import UnexpectedAnswer
from conformance.bench.load import LoadFailed
from conformance.bench.report import as_json, bundles_as_json, print_bundles, print_tables
from conformance.bench.run import STORES, Plan, run
from conformance.bench.sampling import Effort
from conformance.processes import ServerFailed
from server.commands.load import CannotLoad

app = typer.Typer(name="conformance", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def conformance() -> None:
    """Measure a FHIR server from outside."""


@app.command()
def bench(  # noqa: PLR0917 - a command's parameters are its options
    stores: Annotated[str, typer.Option(help="Which of ours, separated by commas.")] = ",".join(STORES),
    url: Annotated[str | None, typer.Option(help="FHIR base URL of any other server, instead of ours.")] = None,
    pid: Annotated[
        int | None, typer.Option(help="That server's process id, if it runs here: for its CPU time.")
    ] = None,
    connections: Annotated[int, typer.Option(min=1, help="Requests in flight.")] = 64,
    seconds: Annotated[float, typer.Option(min=0.05, help="Length of one sample.")] = 2.0,
    rounds: Annotated[int, typer.Option(min=1, help="Samples of each kind; medians are shown.")] = 3,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Requests, round trips, CPU and rates per interaction; exit code 1 when any answer was not as expected."""
    chosen = tuple(name.strip() for name in stores.split(",") if name.strip())
    if not chosen or not set(chosen) <= set(STORES):
        raise typer.BadParameter(f"choose from {', '.join(STORES)}", param_hint="--stores")
    plan = Plan(Effort(connections, seconds), rounds, chosen, url, pid)
    progress = Console(stderr=True)
    try:
        with progress.status("starting") as status, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            subjects = runner.run(run(plan, status.update))
    except (LoadFailed, ServerFailed, UnexpectedAnswer) as error:
        progress.print(str(error), markup=False)
        raise typer.Exit(1) from error
    if json:
        print(as_json(plan, subjects))
    else:
        print_tables(plan, subjects, Console())
    raise typer.Exit(0 if all(subject.clean for subject in subjects) else 1)


@app.command()
def bundles(
    paths: Annotated[list[Path], typer.Argument(help="Files of Bundles, or folders of them.")],
    stores: Annotated[str, typer.Option(help="Which of ours, separated by commas.")] = "embedded,s3",
    rounds: Annotated[int, typer.Option(min=1, help="Loads of each kind; medians are shown.")] = 3,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests in flight.")] = 16,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Bundles and resources per second, against the same resources created one by one."""
    chosen = [name.strip() for name in stores.split(",") if name.strip()]
    if not chosen or not set(chosen) <= set(STORES):
        raise typer.BadParameter(f"choose from {', '.join(STORES)}", param_hint="--stores")
    progress = Console(stderr=True)
    try:
        with progress.status("starting") as status:
            rows = measure(paths, chosen, rounds=rounds, concurrency=concurrency, say=status.update)
    except (LoadFailed, ServerFailed, CannotLoad) as error:
        progress.print(str(error), markup=False)
        raise typer.Exit(1) from error
    if json:
        print(bundles_as_json(rows))
    else:
        print_bundles(rows, Console())
