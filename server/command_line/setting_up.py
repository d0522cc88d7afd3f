"""The commands that help to set a server up: `bucket create`, `config show`."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from server.command_line.options import AsJson, Store, settings_for

bucket = typer.Typer(help="Make the bucket of a store.", no_args_is_help=True)
config = typer.Typer(help="Show the settings of this environment.", no_args_is_help=True)


@bucket.callback()
def _bucket() -> None:
    """Keeps `create` a command of its own, although it is the only one."""


@config.callback()
def _config() -> None:
    """Keeps `show` a command of its own, although it is the only one."""


@bucket.command()
def create(
    store: Store = None,
    yes: Annotated[bool, typer.Option("--yes", help="Also on AWS, with the defaults of the account.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make the bucket of s3://bucket/prefix, on a server of one's own; nothing else of it is set.

    Exit code 0 also if it is there already; 2 if it cannot be made, or would be on AWS without --yes.
    """
    from server.commands.bucket import run_create

    raise typer.Exit(run_create(settings_for(store), confirmed=yes, as_json=as_json))


@config.command()
def show(
    changed: Annotated[bool, typer.Option("--changed", help="Only settings that are not the default.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show every setting, its value and where that comes from; no secrets. Exit code 1 if a server would not start."""
    from server.commands.config import run_show

    raise typer.Exit(run_show(os.environ, changed=changed, as_json=as_json))
