"""`fhirstore jobs`: the commands that look at the jobs in a store."""

from __future__ import annotations

from typing import Annotated

import typer

from server.command_line.options import AsJson, Store, Tenant, settings_for

commands = typer.Typer(help="Look at the jobs in a store: exports and the like.", no_args_is_help=True)

JobId = Annotated[str, typer.Argument(help="The job's id.", metavar="ID")]


@commands.command()
def ls(
    store: Store = None,
    tenant: Tenant = None,
    kind: Annotated[str | None, typer.Option("--kind", help="Only jobs of this kind, like export.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the jobs, the live ones first. Exit code 2 if the store cannot be read."""
    from server.commands.jobs import list_jobs

    raise typer.Exit(list_jobs(settings_for(store), tenant=tenant, kind=kind, as_json=as_json))


@commands.command()
def show(id: JobId, store: Store = None, tenant: Tenant = None, as_json: AsJson = False) -> None:
    """Show one job. Exit code 1 if there is none, 2 if the store cannot be read."""
    from server.commands.jobs import show_job

    raise typer.Exit(show_job(settings_for(store), id, tenant=tenant, as_json=as_json))


@commands.command()
def logs(id: JobId, store: Store = None, tenant: Tenant = None, as_json: AsJson = False) -> None:
    """Print a job's log, also while it runs. Exit code 1 if there is no such job, 2 if the store cannot be read."""
    from server.commands.jobs import show_log

    raise typer.Exit(show_log(settings_for(store), id, tenant=tenant, as_json=as_json))


@commands.command()
def files(
    id: JobId,
    store: Store = None,
    tenant: Tenant = None,
    urls: Annotated[bool, typer.Option("--urls", help="With URLs that are valid for an hour, on S3.")] = False,
    as_json: AsJson = False,
) -> None:
    """List a job's files. Exit code 1 if there is no such job, 2 if the store cannot be read."""
    from server.commands.jobs import show_files

    raise typer.Exit(show_files(settings_for(store), id, tenant=tenant, urls=urls, as_json=as_json))


@commands.command()
def cancel(id: JobId, store: Store = None, tenant: Tenant = None, as_json: AsJson = False) -> None:
    """Cancel a live job and remove its files. Exit code 1 if there is none, or it has ended; 2 if it cannot be done."""
    from server.commands.jobs import cancel_job

    raise typer.Exit(cancel_job(settings_for(store), id, tenant=tenant, as_json=as_json))
