"""`fhirstore sweep`: one pass of the sweeper over each tenant, and what it did."""

from __future__ import annotations

from fhirstore import SweepReport, TenantStore, instant
from server.commands.each_tenant import FAILED, for_each_tenant, print_reports
from server.settings import Settings


def run_sweep(settings: Settings, *, tenant: str | None, as_json: bool) -> int:
    """Sweeps and prints. Returns 0: all is clean. 1: something is left for a later pass or fsck. 2: could not run."""

    async def work(_: str, store: TenantStore) -> SweepReport:
        return await store.upkeep.sweep()

    reports = for_each_tenant(settings, tenant, work)
    if reports is None:
        return FAILED
    print_reports(reports, lambda name, report: [_line(name, report)], as_json=as_json)
    return 1 if any(report.unclear or report.left for report in reports.values()) else 0


def _line(name: str, report: SweepReport) -> str:
    """Returns what one pass did; what it did not find is left out."""
    counts = (
        (report.orphans, "orphans"),
        (report.slots, "slots"),
        (report.run_files, "files of runs"),
        (report.uploads, "uploads"),
        (report.payloads, "payloads"),
        (report.transfers, "transfers"),
        (report.index_copies, "objects of old copies of the search index"),
    )
    removed = ", ".join(f"{count:,} {what}" for count, what in counts if count) or "nothing"
    rest = ((report.unclear, "unclear (run fhirstore fsck)"), (report.left, "left for a later pass"))
    upto = f"; swept up to {instant(report.watermark)}" if report.watermark else ""
    return (
        f"{name}: {report.outcome}; {report.checked:,} events checked; removed {removed}"
        f"{''.join(f'; {count:,} {what}' for count, what in rest if count)}{upto}"
    )
