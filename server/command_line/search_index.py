"""`fhirstore index`: the commands on the search index of this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from server.command_line.options import AsJson, ProgressEvery, Store, Tenant, settings_for

commands = typer.Typer(
    help="Look after the search index of this machine, which is a copy: it can be removed and built again.",
    no_args_is_help=True,
)


@commands.command()
def status(store: Store = None, tenant: Tenant = None, as_json: AsJson = False) -> None:
    """Say how each tenant's index is. Exit code 1 if one is not ready, 2 if the store cannot be read."""
    from server.commands.search_index import show_status

    raise typer.Exit(show_status(settings_for(store), tenant=tenant, as_json=as_json))


@commands.command()
def build(
    store: Store = None,
    tenant: Tenant = None,
    *,
    from_log: Annotated[
        bool, typer.Option("--from-log", help="Read all resources, even if the bucket has a copy of the index.")
    ] = False,
    save: Annotated[bool, typer.Option("--save", help="Then store a copy in the bucket.")] = False,
    progress_every: ProgressEvery = 10.0,
    as_json: AsJson = False,
) -> None:
    """Build what is missing, or bring it up to date; safe beside live servers. Exit code 2 if it could not be done."""
    from server.commands.search_index import run_build

    settings = settings_for(store)
    raise typer.Exit(
        run_build(settings, tenant=tenant, from_log=from_log, save=save, every=progress_every, as_json=as_json)
    )


@commands.command()
def save(store: Store = None, tenant: Tenant = None, as_json: AsJson = False) -> None:
    """Store a copy of the index in the bucket, from which other machines start. Exit code 2 if it could not be done."""
    from server.commands.search_index import run_save

    raise typer.Exit(run_save(settings_for(store), tenant=tenant, as_json=as_json))


@commands.command()
def drop(
    store: Store = None,
    tenant: Tenant = None,
    copies: Annotated[bool, typer.Option("--copies", help="Remove the copies in the bucket, too.")] = False,
) -> None:
    """Remove the index from this machine; the next search builds it again. Exit code 2 if it could not be done."""
    from server.commands.search_index import run_drop

    raise typer.Exit(run_drop(settings_for(store), tenant=tenant, copies=copies))


@commands.command()
def verify(
    store: Store = None, tenant: Tenant = None, progress_every: ProgressEvery = 10.0, as_json: AsJson = False
) -> None:
    """Compare the index with what is stored, beside live servers. Exit code 1 if they differ, 2 if it could not run."""
    from server.commands.search_index import run_verify

    raise typer.Exit(run_verify(settings_for(store), tenant=tenant, every=progress_every, as_json=as_json))
