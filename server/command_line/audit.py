"""The command that reads and checks the audit trail: `audit`."""

from __future__ import annotations

from typing import Annotated

import typer

from server.command_line.options import AsJson, Store, fail, settings_for

commands = typer.Typer()


@commands.command()
def audit(  # noqa: PLR0917 - a command's parameters are its options
    tenant: Annotated[
        str | None, typer.Option("--tenant", help="Whose trail; needed unless there is only one tenant.")
    ] = None,
    without_tenant: Annotated[
        bool, typer.Option("--without-tenant", help="The trail of requests that were refused before they had a tenant.")
    ] = False,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="From then on: 2026-07-01, 2026-07-01T12:00Z, or 30m, 24h, 7d ago."),
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Before this time; as --since.")] = None,
    patient: Annotated[str | None, typer.Option(help="Only events that name this Patient, by its id.")] = None,
    agent: Annotated[str | None, typer.Option(help="Only events of this client, user or IP address.")] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check that no segment of that time was removed or changed.")
    ] = False,
    expire: Annotated[
        bool,
        typer.Option("--expire", help="Remove what is older than the tenant's audit_expires_after_days."),
    ] = False,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Print who did what; with --json the AuditEvents, one a line. 1 LIST per 1,000 segments, 1 GET for each.

    Exit code 1 if --verify found something, 2 if it could not run.
    """
    from server.commands.audit import Order, run_audit

    if without_tenant and tenant is not None:
        fail("--tenant and --without-tenant: only one of them")
    if verify and (expire or patient or agent):
        fail("--verify: checks all events of a time; leave --expire, --patient and --agent out")
    if expire and (since or until or patient or agent):
        fail("--expire: goes by the tenant's settings; leave the other options out")
    order = Order(
        tenant=tenant,
        without_tenant=without_tenant,
        since=since,
        until=until,
        patient=patient,
        agent=agent,
        verify=verify,
        expire=expire,
        as_json=as_json,
    )
    raise typer.Exit(run_audit(settings_for(store), order))
