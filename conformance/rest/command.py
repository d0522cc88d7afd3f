"""`python -m conformance rest BASE_URL`: options in, table and JUnit out."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from conformance.report import print_table, write_junit
from conformance.rest.suite import CHECKS, run


def rest(
    url: Annotated[str, typer.Argument(help="FHIR base URL of the server, such as http://127.0.0.1:8000/fhir.")],
    only: Annotated[str, typer.Option(help="Only checks whose name contains this.")] = "",
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML to this file.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Show what holds, too.")] = False,
) -> None:
    """Put the RESTful API's sentences to a server, one by one; exit code 1 when any is broken."""
    checks = [check for check in CHECKS if only in check.name]
    if not checks:
        raise typer.BadParameter("no check has such a name", param_hint="--only")
    progress = Console(stderr=True)
    with progress.status(f"{len(checks)} checks"):
        verdicts = asyncio.run(run(url, checks))
    print_table(verdicts, Console(), everything=everything)
    if junit is not None:
        write_junit(verdicts, junit, suite="rest")
    raise typer.Exit(1 if any(verdict.complaint for verdict in verdicts) else 0)
