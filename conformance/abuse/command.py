"""`python -m conformance abuse URL`: options in, a table or JSON out."""

from __future__ import annotations

import json as json_
import sys
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from conformance.abuse.holding import HOLDING
from conformance.abuse.run import Measured, run
from conformance.abuse.target import NotHere, target
from conformance.abuse.ticking import TickerFailed
from conformance.abuse.work import WORK

ALLOWED = 0.1  # seconds that a tick may wait


def abuse(  # noqa: PLR0917 - a command's parameters are its options
    url: Annotated[str, typer.Argument(help="FHIR base URL of a server on this machine.")],
    pid: Annotated[int | None, typer.Option(help="Its process id: for the memory it holds.")] = None,
    only: Annotated[str, typer.Option(help="Only what has this in its name.")] = "",
    rounds: Annotated[int, typer.Option(min=1, max=10, help="Of several, the one with the least stall.")] = 1,
    patience: Annotated[float, typer.Option(min=1, max=600, help="Seconds to wait for one answer.")] = 60.0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    anywhere: Annotated[bool, typer.Option("--anywhere", help="Also a server that is not on loopback.")] = False,
) -> None:
    """Send what costs a server much, and measure how long others wait and how much memory it takes.

    Exit code 1 when a tick waited longer than 100 ms. The server's data should be thrown away afterwards.
    """
    abuses = [one for one in (*WORK, *HOLDING) if only.lower() in one.name.lower()]
    if not abuses:
        raise typer.BadParameter("nothing has such a name", param_hint="--only")
    try:
        at = target(url, patience=patience, anywhere=anywhere)
    except (NotHere, ValueError, OSError) as error:
        raise typer.BadParameter(str(error), param_hint="URL") from error
    progress = Console(stderr=True)
    measured: list[Measured] = []
    try:
        with progress.status("starting") as status:
            for one in run(at, abuses, pid=pid, rounds=rounds, say=status.update):
                measured.append(one)
                progress.print(_line(one), markup=False, highlight=False)
    except TickerFailed as error:
        progress.print(str(error), markup=False)
    if json:
        json_.dump([asdict(one) for one in measured], sys.stdout, indent=1)
        print()
    else:
        _print_table(measured)
    raise typer.Exit(1 if any(one.stall > ALLOWED for one in measured) else 0)


def _line(one: Measured) -> str:
    return f"{one.stall * 1000:8.0f} ms  {one.seconds:7.2f} s  {_megabytes(one.peak):>7}  {one.name}: {one.answer}"


def _print_table(measured: list[Measured]) -> None:
    table = Table("request", "answer", title="Longest wait of GET /health/live meanwhile")
    for column in ("stall, ms", "answered in, s", "memory before, MB", "at most, MB", "failed ticks"):
        table.add_column(column, justify="right")
    for one in measured:
        table.add_row(
            one.name,
            one.answer,
            f"{one.stall * 1000:.0f}" + (" !" if one.stall > ALLOWED else ""),
            f"{one.seconds:.2f}",
            _megabytes(one.before),
            _megabytes(one.peak),
            str(one.failed_ticks or ""),
        )
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.0f}" if size else ""
