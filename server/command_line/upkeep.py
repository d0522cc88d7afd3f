"""The commands that look after what is stored: `sweep`, `fsck`, `compact`."""

from __future__ import annotations

from typing import Annotated

import typer

from server.command_line.options import Store, Tenant, settings_for

commands = typer.Typer()


@commands.command()
def sweep(
    store: Store = None,
    tenant: Tenant = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the reports as JSON.")] = False,
) -> None:
    """Remove what writers that died left behind; safe beside live servers. Exit code 1 if something had to stay."""
    from server.commands.sweep import run_sweep

    raise typer.Exit(run_sweep(settings_for(store), tenant=tenant, as_json=as_json))


@commands.command()
def fsck(
    store: Store = None,
    tenant: Tenant = None,
    deep: Annotated[bool, typer.Option("--deep", help="Hash every version, not only the current ones.")] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Put right what can be; without it nothing changes.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the reports as JSON.")] = False,
) -> None:
    """Check everything that is stored, beside live servers. Exit code 1 if damage was found, 2 if it could not run."""
    from server.commands.fsck import run_fsck

    raise typer.Exit(run_fsck(settings_for(store), tenant=tenant, deep=deep, repair=repair, as_json=as_json))


@commands.command()
def compact(
    store: Store = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the sizes as JSON.")] = False,
) -> None:
    """Give the disk back what was freed in an embedded store; safe beside live servers. Exit code 1: do it again."""
    from server.commands.compact import run_compact

    raise typer.Exit(run_compact(settings_for(store), as_json=as_json))
