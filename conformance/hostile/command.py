"""`python -m conformance hostile URL`: options in, a table or JSON out."""

from __future__ import annotations

import asyncio
import json as json_
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from conformance.abuse.target import NotHere, target
from conformance.hostile.run import Told, run


def hostile(  # noqa: PLR0917 - a command's parameters are its options
    url: Annotated[str, typer.Argument(help="FHIR base URL of a server on this machine.")],
    count: Annotated[int, typer.Option(min=1, help="Requests.")] = 10_000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same requests.")] = 1,
    at_once: Annotated[int, typer.Option(min=1, max=500, help="Requests under way.")] = 32,
    pid: Annotated[int | None, typer.Option(help="Its process id: for the memory it holds.")] = None,
    memory: Annotated[int, typer.Option(min=1, help="MB that it may hold, with --pid.")] = 600,
    patience: Annotated[float, typer.Option(min=0.1, max=600, help="Seconds to wait for one answer.")] = 2.0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    anywhere: Annotated[bool, typer.Option("--anywhere", help="Also a server that is not on loopback.")] = False,
) -> None:
    """Send thousands of malformed and malicious requests while honest clients write and read.

    Exit code 1 when one is answered 5xx other than 501, 503 and 505, an honest client is not served, the server is not
    ready afterwards, or it held more memory than it may. The server's data should be thrown away afterwards.
    """
    try:
        at = target(url, patience=patience, anywhere=anywhere)
    except (NotHere, ValueError, OSError) as error:
        raise typer.BadParameter(str(error), param_hint="URL") from error
    progress = Console(stderr=True)
    with progress.status("starting") as status:
        told = asyncio.run(run(at, seed=seed, count=count, at_once=at_once, pid=pid, say=status.update))
    if told.memory_peak > memory * 1_000_000:
        told.complain(f"the server held {told.memory_peak / 1e6:.0f} MB; {memory} are allowed")
    if json:
        json_.dump(_as_json(told), sys.stdout, indent=1)
        print()
    else:
        _print(told)
    raise typer.Exit(1 if told.wrong else 0)


def _as_json(told: Told) -> dict[str, object]:
    return {
        "requests": told.statuses.total(),
        "statuses": {str(status): count for status, count in sorted(told.statuses.items())},
        "wrong": told.wrong,
        "honest": told.honest,
        "slowest_honest_s": round(told.slowest, 3),
        "seconds": round(told.seconds, 1),
        "memory_before": told.memory_before,
        "memory_peak": told.memory_peak,
    }


def _print(told: Told) -> None:
    table = Table(
        "what is wrong", "answers", title=f"{told.statuses.total():,} hostile requests in {told.seconds:.0f} s"
    )
    for shape, statuses in sorted(told.by_shape.items()):
        table.add_row(shape, "  ".join(f"{status or 'none'}: {count}" for status, count in sorted(statuses.items())))
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)
    console.print(f"honest requests {told.honest:,}, the slowest {told.slowest * 1000:.0f} ms")
    if told.memory_peak:
        console.print(f"memory {told.memory_before / 1e6:.0f} MB before, {told.memory_peak / 1e6:.0f} MB at most")
    for sentence in told.wrong:
        console.print(f"wrong: {sentence}", markup=False)
