"""The commands that make another store of a store: `copy` and `backup`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from server.command_line.options import AsJson, ProgressEvery, Store, fail, read_settings, settings_for
from server.settings.values import tenant_buckets

commands = typer.Typer()

_BUCKETS = "Each tenant's own bucket, like clinic-a=bucket-a,clinic-b=bucket-b; default: one store, a prefix each."


@commands.command()
def copy(  # noqa: PLR0917 - a command's parameters are its options
    source: Annotated[str, typer.Option("--from", help="The source: file:DIR or s3://bucket/prefix.")],
    target: Annotated[str, typer.Option("--to", help="The target: empty, or an earlier copy of the source.")],
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only this one; default: all in the source.")] = None,
    from_buckets: Annotated[str | None, typer.Option(help=f"Of the source. {_BUCKETS}")] = None,
    to_buckets: Annotated[str | None, typer.Option(help=f"Of the target. {_BUCKETS}")] = None,
    from_endpoint: Annotated[str | None, typer.Option(help="URL of the source's S3 server, if another one.")] = None,
    to_endpoint: Annotated[str | None, typer.Option(help="URL of the target's S3 server, if another one.")] = None,
    from_region: Annotated[str | None, typer.Option(help="Region of the source's bucket, if another one.")] = None,
    to_region: Annotated[str | None, typer.Option(help="Region of the target's bucket, if another one.")] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on while the source is written, until its servers are stopped.")
    ] = False,
    verify: Annotated[bool, typer.Option(help="Compare both sides byte for byte before the copy is complete.")] = True,
    verify_only: Annotated[bool, typer.Option("--verify-only", help="Compare both sides, and write nothing.")] = False,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Resources at once.")] = 32,
    as_json: AsJson = False,
    progress_every: ProgressEvery = 5.0,
) -> None:
    """Copy a store's data with all histories into another store; exit code 1: not complete yet, run it again.

    The source may be served meanwhile, the target not. A second run copies what changed; a killed one goes on. Exit
    code 2: it could not run; 130 or 143: interrupted. Endpoint, region and credentials are those of the settings, for
    both ends, where no option says otherwise; FHIRSTORE_TENANT_BUCKETS is not used.
    """
    from server.commands.copying import CannotCopy, Order, run_copy
    from server.commands.copying.order import end_of

    settings = read_settings(serving=False)
    s3 = settings.s3
    try:
        order = Order(
            end_of(
                source, s3, buckets=_buckets("--from-buckets", from_buckets), endpoint=from_endpoint, region=from_region
            ),
            end_of(
                target,
                s3,
                tags=settings.tags,
                buckets=_buckets("--to-buckets", to_buckets),
                endpoint=to_endpoint,
                region=to_region,
            ),
            tenant=tenant,
            verify=verify,
            verify_only=verify_only,
            follow=follow,
            concurrency=concurrency,
        )
    except CannotCopy as error:
        fail(str(error))
    raise typer.Exit(run_copy(order, as_json=as_json, progress_every=progress_every))


@commands.command()
def backup(
    target: Annotated[Path, typer.Argument(help="Folder for backups; each is a folder in it, named by the time.")],
    store: Store = None,
    keep: Annotated[int | None, typer.Option(min=1, help="Backups that stay there; default: all.")] = None,
    as_json: AsJson = False,
    progress_every: ProgressEvery = 5.0,
) -> None:
    """Back up an embedded store while it is served: all commits up to one moment. Exit code 2: there is no backup.

    Large bodies that the backup before has are shared with it by hard links. Interrupted: 130 or 143.
    """
    from server.commands.backups import run_backup

    raise typer.Exit(run_backup(settings_for(store), target, keep=keep, as_json=as_json, progress_every=progress_every))


def _buckets(option: str, text: str | None) -> Mapping[str, str] | None:
    try:
        return None if text is None else tenant_buckets(text)
    except ValueError as error:
        fail(f"{option}: {error}")
