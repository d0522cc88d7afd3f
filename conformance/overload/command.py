"""`python -m conformance overload`: options in, a table or JSON out."""

from __future__ import annotations

import asyncio
import json as json_
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from conformance.overload.run import NotPossible, Overload, Plan, run
from conformance.processes import ServerFailed
from conformance.rates.load import LoadFailed
from conformance.s3servers import running, seaweedfs


def overload(  # noqa: PLR0917 - a command's parameters are its options
    on: Annotated[str, typer.Option(help="embedded or seaweedfs.")] = "embedded",
    connections: Annotated[int, typer.Option(min=20, max=20_000, help="Of both tenants together.")] = 2_000,
    clients: Annotated[int, typer.Option(min=1, max=100, help="Of the quiet tenant.")] = 10,
    seconds: Annotated[float, typer.Option(min=4, max=3_600, help="That the flood lasts.")] = 30.0,
    workers: Annotated[int, typer.Option(min=2, max=64, help="Server processes.")] = 2,
    rate: Annotated[float | None, typer.Option(min=0.1, help="The flood's limit, requests/s and process.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Start a server for two tenants, flood it with the creates of one, and measure what becomes of the other.

    Exit code 1 when a server process ended, an acknowledged write is lost, or the quiet tenant was refused.
    """
    if on not in ("embedded", "seaweedfs"):
        raise typer.BadParameter("must be embedded or seaweedfs", param_hint="--on")
    progress = Console(stderr=True)
    try:
        with tempfile.TemporaryDirectory() as folder, _store(on, Path(folder)) as (store, environment):
            plan = Plan(store, environment, workers, connections, clients, seconds, rate)
            with progress.status("starting") as status:
                found = asyncio.run(run(plan, Path(folder), say=status.update))
    except (NotPossible, ServerFailed, LoadFailed) as error:
        progress.print(str(error), markup=False)
        raise typer.Exit(2) from error
    if json:
        json_.dump(_figures(found), sys.stdout, indent=1)
        print()
    else:
        _print_table(found)
    refused = sum(count for status, count in found.beside.statuses.items() if status not in (200, 201))
    raise typer.Exit(1 if found.lost or found.restarted or found.ended or refused else 0)


@contextmanager
def _store(on: str, folder: Path) -> Iterator[tuple[str, Mapping[str, str]]]:
    """The store of the run, and the environment that reaches it."""
    if on == "embedded":
        yield f"file:{folder / 'data'}", {}
        return
    with running(seaweedfs, folder) as server:
        location = server.location()
        yield location, server.serving(location)


def _figures(found: Overload) -> dict[str, object]:
    quiet = {
        name: {
            "p50_ms": round(one.milliseconds(0.5), 1),
            "p99_ms": round(one.milliseconds(0.99), 1),
            "longest_ms": round(one.milliseconds(1), 1),
            "statuses": dict(one.statuses),
        }
        for name, one in (("alone", found.alone), ("beside", found.beside))
    }
    flood = {"statuses": dict(found.statuses), "answers_per_second": round(found.rate)}
    memory = {"resting_mb": _megabytes(found.resting), "most_mb": _megabytes(found.memory)}
    kept = {"acknowledged": found.acknowledged, "lost": found.lost}
    ends = {"restarted": found.restarted, "exit_code": found.ended}
    return {"quiet": quiet, "flood": flood, "memory": memory, "writes": kept, "processes": ends}


def _print_table(found: Overload) -> None:
    table = Table("", "alone", "beside the flood", title="The quiet tenant")
    for name, share in (("p50, ms", 0.5), ("p99, ms", 0.99), ("longest, ms", 1.0)):
        table.add_row(name, f"{found.alone.milliseconds(share):.0f}", f"{found.beside.milliseconds(share):.0f}")
    table.add_row("answers", str(dict(found.alone.statuses)), str(dict(found.beside.statuses)))
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    console.print(f"flood: {found.rate:.0f} answers/s: {dict(sorted(found.statuses.items()))}")
    console.print(f"memory of each process: {_megabytes(found.resting)} MB at rest, {_megabytes(found.memory)} at most")
    console.print(f"acknowledged creates: {found.acknowledged}, of which {found.lost} are lost")
    console.print(f"processes that ended in the flood: {found.restarted}; exit code of the server: {found.ended}")


def _megabytes(sizes: tuple[int, ...]) -> list[int]:
    return [round(size / 1e6) for size in sizes]
