"""What a copy did, for people and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fhirstore import CopyReport, Verified, instant

_MEANING = {
    "complete": "",
    "moving": "the source is being written: stop its servers, and run the same command again",
    "incomplete": "some resources could not be read: run `fhirstore fsck --repair` on the source, then this again",
    "differs": "the target is not the same as the source: run the same command again, which writes all of it anew",
    "interrupted": "run the same command again to go on",
    "equal": "",
}
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class CopySummary:
    """`reports`: by tenant; `compared`: those that were only verified. `seconds`: of all of it. `registered`:
    tenants that the target's registry did not name before."""

    reports: Mapping[str, CopyReport]
    compared: Mapping[str, Verified]
    seconds: float
    interrupted: bool = False
    registered: Sequence[str] = ()

    @property
    def ok(self) -> bool:
        copied = all(report.complete for report in self.reports.values())
        return copied and all(each.equal and not each.behind for each in self.compared.values())

    def as_json(self) -> dict[str, object]:
        """Returns the summary as plain JSON values."""
        tenants: dict[str, object] = {name: _report(report) for name, report in self.reports.items()}
        tenants |= {name: each.as_json() for name, each in self.compared.items()}
        return {
            "complete": self.ok,
            "seconds": round(self.seconds, 3),
            "tenants": tenants,
            "registered": list(self.registered),
        }

    def render(self) -> RenderableType:
        """Returns the summary for a terminal."""
        table = Table("tenant", "outcome", "resources", "versions", "objects", "MB", "up to", box=None)
        for column in table.columns[2:6]:
            column.justify = "right"
        lines: list[Text] = []
        for name, report in self.reports.items():
            counts = (
                f"{report.resources:,}",
                f"{report.versions:,}",
                f"{report.objects:,}",
                f"{report.bytes / 1e6:.1f}",
            )
            table.add_row(name, report.outcome, *counts, instant(report.upto) if report.upto else "")
            lines += _notes(name, report)
        for name, each in self.compared.items():
            outcome = "equal" if each.equal else "differs"
            counts = (f"{each.source.resources:,}", f"{each.source.versions:,}", "", f"{each.source.size / 1e6:.1f}")
            table.add_row(name, outcome, *counts, "")
            lines += _differences(name, each)
        if self.registered:
            lines.append(Text(f"in the target's registry of tenants now: {', '.join(self.registered)}"))
        if not self.reports and not self.compared and not self.registered:
            return Text("nothing is stored in the source")
        return Group(table, *lines, Text(f"{self.seconds:.1f} s"))


def _report(report: CopyReport) -> dict[str, object]:
    return {
        "outcome": report.outcome,
        "resources": report.resources,
        "versions": report.versions,
        "objects": report.objects,
        "bytes": report.bytes,
        "upTo": instant(report.upto) if report.upto else None,
        "unreadable": list(report.failed),
        "jobsLeftBehind": report.jobs,
        "verified": None if report.verified is None else report.verified.as_json(),
    }


def _notes(name: str, report: CopyReport) -> list[Text]:
    lines = [Text(f"{name}: {_MEANING[report.outcome]}")] if _MEANING[report.outcome] else []
    lines += [Text(f"    {failed}") for failed in report.failed[:_SHOWN]]
    if report.jobs:
        lines.append(Text(f"{name}: {report.jobs} jobs that have not ended stay in the source"))
    if report.verified is not None:
        lines += _differences(name, report.verified)
    return lines


def _differences(name: str, verified: Verified) -> list[Text]:
    lines = [Text(f"    {each}") for each in verified.names[:_SHOWN]]
    if verified.equal:
        side = verified.target
        told = f"{side.resources:,} resources, {side.versions:,} versions, SHA-256 {side.digest:064x}"
        lines.append(Text(f"{name}: verified, the same on both sides: {told}"))
    if verified.behind:
        lines.append(Text(f"{name}: {verified.behind} resources were written in the source since they were copied"))
    return lines
