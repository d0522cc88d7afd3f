"""The commands that look into a store: `stats`, `cost`, `ls`, `cat`, `presign`. None changes anything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from server.command_line.options import AsJson, ProgressEvery, Store, Tenant, fail, settings_for

commands = typer.Typer()


@commands.command()
def stats(
    store: Store = None, tenant: Tenant = None, as_json: AsJson = False, progress_every: ProgressEvery = 5.0
) -> None:
    """Count objects and bytes by tenant, kind and resource type; 1 LIST per 1,000. Exit code 2 if it could not run."""
    from server.commands.stats import run_stats

    raise typer.Exit(run_stats(settings_for(store), tenant=tenant, as_json=as_json, progress_every=progress_every))


@commands.command()
def cost(  # noqa: PLR0917 - a command's parameters are its options
    prices: Annotated[
        Path | None, typer.Option(help="File of prices (TOML); default: list prices of Amazon S3, us-east-1.")
    ] = None,
    n: Annotated[
        int, typer.Option("--items", min=1, max=1_000_000, help="Resources in a page, Bundle or export.")
    ] = 10,
    from_metrics: Annotated[
        str | None, typer.Option(metavar="URL|FILE", help="Price the requests that a scrape of /metrics tells.")
    ] = None,
    storage: Annotated[
        bool, typer.Option("--storage", help="Price what the tenants store now, counted as `stats` does.")
    ] = False,
    stats: Annotated[
        Path | None, typer.Option("--from-stats", help="Price what the output of `stats --json` tells.")
    ] = None,
    store: Store = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
    progress_every: ProgressEvery = 5.0,
) -> None:
    """Price each operation's storage requests, or what servers really sent and store. Exit code 2 if it could not run.

    The prices are those of the file: check them. Without --from-metrics, --storage and --from-stats it needs no store.
    """
    from server.commands.cost import run_cost
    from server.commands.stats import measured

    if storage and stats is not None:
        fail("--storage and --from-stats: only one of them")

    def measure() -> dict[str, tuple[int, int]] | None:
        reports = measured(settings_for(store), tenant, progress_every=progress_every)
        if reports is None:
            return None
        return {name: (report.total.objects, report.total.bytes) for name, report in reports.items()}

    code = run_cost(
        prices=prices, n=n, metrics=from_metrics, stats=stats, measure=measure if storage else None, as_json=as_json
    )
    raise typer.Exit(code)


Path_ = Annotated[
    str,
    typer.Argument(
        metavar="PATH",
        help="Type, Type/id or Type/id/_history/version; else a key: below the tenant's prefix with --tenant, below "
        "the root of the store without.",
    ),
]
OneTenant = Annotated[
    str | None, typer.Option("--tenant", help="Whose; a reference needs it unless there is only one tenant.")
]


@commands.command()
def ls(  # noqa: PLR0917 - a command's parameters are its options
    path: Path_ = "",
    tenant: OneTenant = None,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="All keys below, and no folders.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="End after that many lines.")] = None,
    store: Store = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line.")] = False,
) -> None:
    """List objects whose keys begin with PATH, resources of a type or versions of one; 1 LIST per 1,000.

    What it prints can be given back to ls, cat and presign with the same options. Deleted resources are listed, too.
    Exit code 1 if nothing is there, 2 if it could not run.
    """
    from server.commands.objects import list_objects

    code = list_objects(settings_for(store), path, tenant=tenant, recursive=recursive, limit=limit, as_json=as_json)
    raise typer.Exit(code)


@commands.command()
def cat(
    path: Path_,
    tenant: OneTenant = None,
    store: Store = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what is known of it, and not its content.")] = False,
) -> None:
    """Print a resource, or the bytes of an object as they are stored.

    Exit code 1 if it is not there, or deleted; 2 if it could not run.
    """
    from server.commands.objects import print_object

    raise typer.Exit(print_object(settings_for(store), path, tenant=tenant, as_json=as_json))


@commands.command()
def presign(  # noqa: PLR0917 - a command's parameters are its options
    path: Path_,
    tenant: OneTenant = None,
    expires: Annotated[int, typer.Option(min=1, max=604_800, help="Seconds that the URL is valid.")] = 3_600,
    put: Annotated[
        bool, typer.Option("--put", help="To write the object instead; only keys that are not fhirstore's own.")
    ] = False,
    content_type: Annotated[str | None, typer.Option(help="Of the answer; with --put, of the object.")] = None,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Print a URL by which whoever has it can read the object, or the content of Binary/id; only on S3.

    Keep it secret: it needs no other credentials. Exit code 1 if nothing is there, 2 if it could not run.
    """
    from server.commands.objects import presign as run

    code = run(
        settings_for(store),
        path,
        tenant=tenant,
        put=put,
        content_type=content_type,
        expires=expires,
        as_json=as_json,
    )
    raise typer.Exit(code)
