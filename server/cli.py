"""The command line. The help of each command says its exit codes."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Annotated, NoReturn

import typer

from fhirstore import __version__
from server.command_line import (
    audit,
    clients,
    copies,
    inspecting,
    jobs,
    lifecycle,
    registered_clients,
    restore,
    search_index,
    serving,
    setting_up,
    tenants,
    upkeep,
)

app = typer.Typer(
    name="fhirstore",
    help="FHIR R4 on object storage.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """FHIR R4 on object storage."""
    if show:
        typer.echo(__version__)
        raise typer.Exit


app.add_typer(serving.commands)
app.add_typer(clients.commands)
app.add_typer(upkeep.commands)
app.add_typer(inspecting.commands)
app.add_typer(audit.commands)
app.add_typer(restore.commands)
app.add_typer(copies.commands)
app.add_typer(jobs.commands, name="jobs")
app.add_typer(search_index.commands, name="index")
app.add_typer(tenants.commands, name="tenant")
app.add_typer(registered_clients.commands, name="client")
app.add_typer(lifecycle.commands, name="lifecycle")
app.add_typer(setting_up.bucket, name="bucket")
app.add_typer(setting_up.config, name="config")


@app.command(hidden=True)
def commands() -> None:
    """Print the reference of all commands as Markdown: docs/commands.md."""
    from server.commands.reference import run_reference

    run_reference(app)


def main() -> None:
    """The `fhirstore` command."""
    try:
        app()
    except SystemExit as ended:
        if "obstore" in sys.modules:
            _end_now(ended.code)
        raise


def _end_now(code: object) -> NoReturn:
    """Ends the process without the interpreter's own end.

    A thread of obstore that still lets go of an object then is killed by Python up to 3.13, which aborts the process:
    a command that has done its work would end with 134, once in a while.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            if stream is not None:
                stream.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))
