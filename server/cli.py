"""The command line. The help of each command says its exit codes."""

from __future__ import annotations

from typing import Annotated

import typer

from fhirstore import __version__
from server.command_line import clients, jobs, serving, upkeep

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
app.add_typer(jobs.commands, name="jobs")


def main() -> None:
    """The `fhirstore` command."""
    app()
