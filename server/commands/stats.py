"""`fhirstore stats`: what each tenant stores, by kind and resource type."""

from __future__ import annotations

from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from fhirstore import StoredUsage, TenantStore, UsageProgress
from server.commands.each_tenant import FAILED, for_each_tenant, print_json
from server.commands.progress_lines import ProgressLines
from server.settings import Settings


def run_stats(settings: Settings, *, tenant: str | None, as_json: bool, progress_every: float) -> int:
    """Counts and prints. Returns 0; 2 where the store cannot be listed."""
    reports = measured(settings, tenant, progress_every=progress_every)
    if reports is None:
        return FAILED
    if as_json:
        print_json({name: report.as_json() for name, report in reports.items()})
        return 0
    console = Console(soft_wrap=True)
    console.print(_table(reports))
    for name, report in reports.items():
        if report.pending_uploads:
            console.print(f"{name}: {report.pending_uploads:,} uploads are pending; their parts are not counted")
    console.print(f"{sum(report.requests for report in reports.values()):,} LIST requests")
    return 0


def measured(settings: Settings, tenant: str | None, *, progress_every: float) -> dict[str, StoredUsage] | None:
    """Returns what the tenants store, with progress on standard error. None: it could not be done; a line says why."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:

        async def work(name: str, store: TenantStore) -> StoredUsage:
            task = bar.add_task(name, total=None)
            text = name
            lines = ProgressLines(lambda: text, every=progress_every)

            def show(done: UsageProgress) -> None:
                nonlocal text
                text = f"{name}: {done.objects:,} objects, {done.bytes:,} bytes, {done.requests:,} requests"
                if bar.disable:
                    lines.poll()
                bar.update(task, description=text)

            report = await store.upkeep.usage(on_progress=show)
            bar.remove_task(task)
            return report

        return for_each_tenant(settings, tenant, work)


def _table(reports: dict[str, StoredUsage]) -> Table:
    table = Table("tenant", "kind", "type", "objects", "bytes", box=None)
    for column in table.columns[3:]:
        column.justify = "right"
    for name, report in reports.items():
        for kept, used in report.counts.items():
            table.add_row(name, kept.kind, kept.type or "", f"{used.objects:,}", f"{used.bytes:,}")
        table.add_row(name, "all", "", f"{report.total.objects:,}", f"{report.total.bytes:,}")
    return table
