"""`fhirstore restore`: brings data back, versions out of a bucket's archive or a store out of a backup."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from server.command_line.options import AsJson, ProgressEvery, Store, fail, settings_for

commands = typer.Typer()


@commands.command()
def restore(  # noqa: PLR0917 - a command's parameters are its options
    references: Annotated[
        list[str] | None,
        typer.Argument(metavar="[REFERENCE...]", help="Type/id: all its versions; Type/id/_history/version."),
    ] = None,
    store: Store = None,
    tenant: Annotated[str | None, typer.Option(help="Whose they are. Default: the only tenant.")] = None,
    days: Annotated[int, typer.Option(min=1, max=365, help="Days that the restored copies stay.")] = 7,
    tier: Annotated[
        str, typer.Option(help="Bulk (the cheapest), Standard or Expedited (the fastest; not from DEEP_ARCHIVE).")
    ] = "Standard",
    wait: Annotated[bool, typer.Option("--wait", help="Wait until all can be read.")] = False,
    backup: Annotated[
        Path | None, typer.Option("--backup", help="A backup, or a folder of backups: then its newest one; with --to.")
    ] = None,
    to: Annotated[str | None, typer.Option("--to", help="file:DIR, an empty or new directory.")] = None,
    as_json: AsJson = False,
    progress_every: ProgressEvery = 60.0,
) -> None:
    """Ask the bucket for versions in its archive, and say when they can be read; run it again to look.

    Exit code 1 if something failed or did not come in time, 2 if it could not run. With --backup and --to instead:
    restore a backup of an embedded store, and check all its bytes; exit code 2: there is no store.
    """
    if backup is not None or to is not None:
        if backup is None or to is None or references:
            fail("--backup PATH --to file:DIR restores a backup; references restore versions: give one or the other")
        from server.commands.backups import run_restore as restore_backup

        raise typer.Exit(restore_backup(backup, to, as_json=as_json, progress_every=progress_every))
    if not references:
        fail("name what to restore: Type/id, or Type/id/_history/version; or --backup PATH --to file:DIR")
    from server.commands.restore_archived import TIERS, Order, run_restore

    settings = settings_for(store)
    chosen = TIERS.get(tier.capitalize())
    if chosen is None:
        fail(f"--tier: one of {', '.join(TIERS)}")
    of = tenant or settings.only_tenant
    if of is None:
        fail("--tenant: there are several tenants; name one")
    order = Order(tuple(references), of, days, chosen, wait)
    raise typer.Exit(run_restore(settings, order, as_json=as_json, progress_every=progress_every))
