"""`fhirstore sweep`: one pass of the sweeper over each tenant, and what it did."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from fhirstore import SweepReport, TenantStore
from server.commands.each_tenant import FAILED, for_each_tenant, print_json
from server.http.http_dates import http_date
from server.settings import Settings


def run_sweep(settings: Settings, *, tenant: str | None, as_json: bool) -> int:
    """Sweeps and prints. Returns 0: all is clean. 1: something is left for a later pass or fsck. 2: could not run."""

    async def work(_: str, store: TenantStore) -> SweepReport:
        return await store.upkeep.sweep()

    reports = for_each_tenant(settings, tenant, work)
    if reports is None:
        return FAILED
    if as_json:
        print_json({name: report.as_json() for name, report in reports.items()})
    else:
        Console(soft_wrap=True).print(_table(reports))
    return 1 if any(report.unclear or report.left for report in reports.values()) else 0


def _table(reports: dict[str, SweepReport]) -> Table:
    table = Table(
        "tenant",
        "outcome",
        "checked",
        "orphans",
        "slots",
        "unclear",
        "left",
        "run files",
        "uploads",
        "payloads",
        "transfers",
        "swept up to",
        box=None,
    )
    for column in table.columns[2:11]:
        column.justify = "right"
    for name, report in reports.items():
        counts = (
            report.checked,
            report.orphans,
            report.slots,
            report.unclear,
            report.left,
            report.run_files,
            report.uploads,
            report.payloads,
            report.transfers,
        )
        upto = http_date(report.watermark) if report.watermark else ""
        table.add_row(name, report.outcome, *(str(count) for count in counts), upto)
    return table
