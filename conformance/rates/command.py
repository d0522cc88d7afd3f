"""`python -m conformance rates`: options in, tables out."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from conformance.processes import ServerFailed
from conformance.rates.load import LoadFailed
from conformance.rates.report import as_json, print_tables
from conformance.rates.run import STORES, Plan, run
from conformance.rates.sampling import Effort


def rates(  # noqa: PLR0917 - a command's parameters are its options
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
    """CPU time and requests per second of each interaction; exit code 1 when any answer was not as expected."""
    chosen = tuple(name.strip() for name in stores.split(",") if name.strip())
    if not chosen or not set(chosen) <= set(STORES):
        raise typer.BadParameter(f"choose from {', '.join(STORES)}", param_hint="--stores")
    plan = Plan(Effort(connections, seconds), rounds, chosen, url, pid)
    progress = Console(stderr=True)
    try:
        with progress.status("starting") as status, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            subjects = runner.run(run(plan, status.update))
    except (LoadFailed, ServerFailed) as error:
        progress.print(str(error), markup=False)
        raise typer.Exit(1) from error
    if json:
        print(as_json(plan, subjects))
    else:
        print_tables(plan, subjects, Console())
    raise typer.Exit(0 if all(subject.clean for subject in subjects) else 1)
