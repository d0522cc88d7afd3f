"""The commands that look into a store, and change nothing: `stats`, `cost`."""

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
