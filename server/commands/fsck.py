"""`fhirstore fsck`: a progress bar on a terminal, the findings on standard output, an exit code."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from fhirstore import FsckReport, TenantStore, Thoroughness
from fhirstore import Progress as FsckProgress
from server.commands.each_tenant import FAILED, for_each_tenant, print_json
from server.commands.pace import Pace
from server.commands.progress_lines import ProgressLines
from server.settings import Settings


def run_fsck(settings: Settings, *, tenant: str | None, deep: bool, repair: bool, as_json: bool) -> int:
    """Checks and prints. Returns 0: no damage. 1: damage was found, repaired or not. 2: could not run."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:

        async def work(name: str, store: TenantStore) -> FsckReport:
            task = bar.add_task(name, total=None)
            text, phase = name, ""
            pace = Pace()
            lines = ProgressLines(lambda: text)

            def show(progress: FsckProgress) -> None:
                nonlocal text, phase, pace
                if progress.phase != phase:
                    phase, pace = progress.phase, Pace()
                pace.at(progress.done)
                told = pace.count("objects", progress.total or 0)
                text = f"{name}: {phase}, {progress.done:,} done, {progress.findings:,} findings, {told}"
                if bar.disable:
                    lines.poll()
                bar.update(task, description=text, completed=progress.done, total=progress.total)

            report = await store.upkeep.fsck(Thoroughness(deep=deep, repair=repair), on_progress=show)
            bar.remove_task(task)
            return report

        reports = for_each_tenant(settings, tenant, work, damaged_too=True)
    if reports is None:
        return FAILED
    if as_json:
        print_json({name: report.as_json() for name, report in reports.items()})
    else:
        for name, report in reports.items():
            Console(soft_wrap=True).print(_shown(name, report))
    return 1 if any(report.damage for report in reports.values()) else 0


def _shown(name: str, report: FsckReport) -> RenderableType:
    line = f"{name}: {report.resources} resources, {report.versions} versions, {report.events} events checked; "
    if report.archived:
        line += f"{report.archived} versions lie in the archive, unchecked; "
    if not report.counts:
        nothing = report.resources == report.versions == report.events == 0
        return f"{name}: nothing is stored" if nothing else line + "clean"
    sweepable = sum(report.counts.values()) - report.damage
    line += f"{report.damage} damaged, {sweepable} left by dead attempts, {report.repaired} repaired"
    table = Table("severity", "kind", "key", "", "detail", box=None)
    for finding in report.findings:
        if finding.repaired is None:
            state = "repairable" if finding.repairable else "not repairable"
        else:
            state = "repaired" if finding.repaired else "not repaired"
        table.add_row(finding.severity, finding.kind, finding.key, state, finding.detail or finding.meaning)
    more = [f"and {report.left_off} more"] if report.left_off else []
    return Group(line, table, *more)
