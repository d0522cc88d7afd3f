"""What an export brought: files by type, the server's messages, what failed; as JSON or as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from server.commands.export.journal import Whole
from server.commands.export.manifest import Section
from server.commands.outcomes import Issue, Outcome, outcome_in

Status: TypeAlias = Literal["complete", "incomplete", "failed", "cancelled", "interrupted"]

SHOWN = 20  # kinds of messages, and failures, that are kept
_LONGEST_LINE = 1 << 20  # bytes of a line of an error file that is read
_UNREADABLE = Issue("error", "structure", "A line in the folder error/ is no OperationOutcome")


@dataclass(slots=True)
class OfType:
    """Files of one type."""

    files: int = 0
    count: int = 0
    bytes: int = 0


@dataclass(slots=True)
class ExportSummary:
    """The result. `status`: "complete" means that every file is whole and the server reported no error.

    "incomplete": files are missing, or the server reported errors, or the job goes on without us; "failed": there is
    nothing more to be had. `stopped`: why it ended early. `messages`: (severity, code, text) of the OperationOutcomes.
    """

    url: str
    folder: Path
    status: Status = "incomplete"
    transaction_time: str | None = None
    sections: dict[Section, dict[str, OfType]] = field(default_factory=dict)
    messages: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    errors: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    failed: int = 0
    stopped: str | None = None
    resumed: bool = False
    retries: int = 0
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether everything that was asked for is there."""
        return self.status == "complete"

    def add(self, whole: Whole) -> None:
        """Counts a file that is there."""
        row = self.sections.setdefault(whole.section, {}).setdefault(whole.type, OfType())
        row.files += 1
        row.count += whole.count
        row.bytes += whole.size

    def fail(self, name: str, why: str) -> None:
        """Counts a file that cannot be had."""
        self.failed += 1
        if len(self.failures) < SHOWN:
            self.failures.append((name, why))

    def read_messages(self, paths: Iterable[Path]) -> None:
        """Counts the issues in error files, line by line; what cannot be read counts as an error. Raises OSError."""
        for path in paths:
            with path.open("rb") as file:
                while line := file.readline(_LONGEST_LINE):
                    outcome = outcome_in(line) if line.strip() else Outcome()
                    for issue in [_UNREADABLE] if outcome is None else outcome.issue:
                        self.errors += issue.severity in {"error", "fatal"}
                        key = (issue.severity, issue.code, issue.text)
                        if key in self.messages or len(self.messages) < SHOWN:
                            self.messages[key] += 1

    def as_json(self) -> dict[str, object]:
        """Returns the summary as JSON values."""
        return {
            "url": self.url,
            "folder": str(self.folder),
            "status": self.status,
            "transaction_time": self.transaction_time,
            **{
                section: {
                    name: {"files": row.files, "count": row.count, "bytes": row.bytes}
                    for name, row in sorted(self.sections.get(section, {}).items())
                }
                for section in ("output", "deleted", "error")
            },
            "messages": [
                {"severity": severity, "code": code, "text": text, "count": count}
                for (severity, code, text), count in self.messages.most_common()
            ],
            "failed": self.failed,
            "failures": [{"file": name, "reason": why} for name, why in self.failures],
            "stopped": self.stopped,
            "resumed": self.resumed,
            "retries": self.retries,
            "seconds": round(self.seconds, 3),
        }

    def render(self) -> RenderableType:
        """Returns the summary as tables for a terminal."""
        table = Table("type", "files", "resources", "MB", box=None)
        for column in table.columns[1:]:
            column.justify = "right"
        for section, types in self.sections.items():
            for name, row in sorted(types.items()):
                told = name if section == "output" else f"{name} ({section})"
                table.add_row(Text(told), f"{row.files:,}", f"{row.count:,}", f"{row.bytes / 1e6:.1f}")
        parts: list[RenderableType] = [table, ""] if self.sections else []
        for (severity, code, text), count in self.messages.most_common():
            parts.append(Text(f"The server says, {count} times: {' '.join(filter(None, (severity, code, text)))}"))
        parts += [Text(f"{name}: {why}") for name, why in self.failures]
        parts += [Text(f"… and {self.failed - len(self.failures)} more")] if self.failed > len(self.failures) else []
        retries = f", {self.retries} retries" if self.retries else ""
        at = f", as of {self.transaction_time}" if self.transaction_time else ""
        parts.append(Text(f"{self.status}{at}, in {self.folder}: {self.seconds:.1f} s{retries}"))
        if self.stopped:
            parts.append(Text(f"Stopped: {self.stopped}"))
        if self.status in {"incomplete", "interrupted"} and (self.failed or self.stopped):
            parts.append(Text("To go on, run the command again with the same options."))
        return Group(*parts)
