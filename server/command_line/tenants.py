"""`fhirstore tenant`: the commands that say which tenants a store has, where FHIRSTORE_TENANTS=@store."""

from __future__ import annotations

from typing import Annotated

import typer

from server.command_line.options import AsJson, ProgressEvery, Store, fail, settings_for

commands = typer.Typer(help="List, add and remove tenants (FHIRSTORE_TENANTS=@store).", no_args_is_help=True)

TenantId = Annotated[str, typer.Argument(help="The tenant's id.", metavar="ID")]


@commands.command("list")
def list_(store: Store = None, as_json: AsJson = False) -> None:
    """List the tenants, and those that have data and are not configured. Exit code 2 if the store cannot be read."""
    from server.commands.tenants import list_tenants

    raise typer.Exit(list_tenants(settings_for(store), as_json=as_json))


@commands.command()
def add(id: TenantId, store: Store = None, as_json: AsJson = False) -> None:
    """Add a tenant to the registry in the store; servers serve it within 5 s, without a restart.

    Exit code 0 also if it is there; 1 if its id is malformed or it is being removed; 2 if tenants are configured
    elsewhere, or it could not run.
    """
    from server.commands.tenants import add_tenant

    raise typer.Exit(add_tenant(settings_for(store), id, as_json=as_json))


@commands.command()
def remove(  # noqa: PLR0917 - a command's parameters are its options
    id: TenantId,
    purge_data: Annotated[
        bool, typer.Option("--purge-data", help="Remove all that it has stored; that cannot be undone.")
    ] = False,
    keep_data: Annotated[
        bool, typer.Option("--keep-data", help="Leave what it has stored; `tenant add` brings it back.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for the id to be typed again.")] = False,
    store: Store = None,
    as_json: AsJson = False,
    progress_every: ProgressEvery = 5.0,
) -> None:
    """Remove a tenant from the registry. It takes about a minute, until no server can write for it any more.

    Interrupted, the same command goes on. Exit code 1 if the tenant is unknown, has data and neither option was given,
    or was not confirmed; 2 if tenants are configured elsewhere, or it could not run.
    """
    from server.commands.tenants import remove_tenant

    if purge_data and keep_data:
        fail("--purge-data and --keep-data: only one of them")
    code = remove_tenant(
        settings_for(store),
        id,
        purge_data=purge_data,
        keep_data=keep_data,
        confirmed=yes,
        as_json=as_json,
        progress_every=progress_every,
    )
    raise typer.Exit(code)
