"""`python -m conformance bulk BASE_URL`: options in, table and JUnit out."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from conformance.bulk.submission import Submitting
from conformance.bulk.suite import VERSIONS, checks_of, run
from conformance.report import print_table, write_junit


def bulk(  # noqa: PLR0917 - the options of a command
    url: Annotated[str, typer.Argument(help="FHIR base URL of the server, such as http://127.0.0.1:8000/fhir.")],
    version: Annotated[int, typer.Option(help="Of the IG: 3 (3.0.0) or 4 (the ballot of 4.0.0).")] = 3,
    only: Annotated[str, typer.Option(help="Only checks whose name contains this.")] = "",
    token: Annotated[str, typer.Option(envvar="CONFORMANCE_TOKEN", help="Sent as a bearer token.")] = "",
    submitter: Annotated[
        str, typer.Option(help="system|value of a submitter that the server knows, for bulk submit (version 4).")
    ] = "",
    listen: Annotated[
        str,
        typer.Option(help="host:port where the submitter's files are served; the submitter may be fetched from it."),
    ] = "127.0.0.1:8123",
    files_url: Annotated[str, typer.Option(help="URL by which the server reaches them, if it is another one.")] = "",
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML to this file.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Show what holds or was skipped, too.")] = False,
) -> None:
    """Put the sentences on bulk export and submit to a server, one by one; it writes test data.

    Exit code 1 when any is broken.
    """
    if version not in VERSIONS:
        raise typer.BadParameter("must be 3 or 4", param_hint="--version")
    submitting = Submitting(submitter, listen, files_url) if submitter else None
    checks = [check for check in checks_of(version) if only in check.name]
    if not checks:
        raise typer.BadParameter("no check has such a name", param_hint="--only")
    with Console(stderr=True).status(f"{len(checks)} checks"):
        verdicts = asyncio.run(run(url, checks, version=version, token=token, submitter=submitting))
    print_table(verdicts, Console(), everything=everything)
    if junit is not None:
        write_junit(verdicts, junit, suite="bulk")
    raise typer.Exit(1 if any(verdict.complaint for verdict in verdicts) else 0)
