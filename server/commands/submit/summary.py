"""What became of a submission: resources, outcomes by severity and the first few of them; as JSON or as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from server.commands.outcomes import Issue

Status: TypeAlias = Literal["complete", "incomplete", "failed", "undone", "interrupted"]

SHOWN = 20
_GRAVE = ("fatal", "error", "warning")
_COUNTS = ("created", "updated", "deleted", "unchanged", "existing")


@dataclass(slots=True)
class SubmitSummary:
    """The result. `status`: "complete" means that everything was processed, though lines may have been refused.

    "undone": it was stopped and taken back; "incomplete": it goes on without us; "failed": it was given up. `counts`:
    lines and resources, where they are known. `severities`: OperationOutcomes by their gravest issue. `problems`: the
    first few issues, with file and line where the server says so; `words`: its other messages. `kept`: resources that
    others had changed, so that they were not taken back. `again`: how to go on.
    """

    target: str
    submitter: str
    submission: str
    status: Status = "incomplete"
    manifests: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    severities: Counter[str] = field(default_factory=Counter)
    problems: list[Issue] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    kept: int = 0
    stopped: str | None = None
    again: str | None = None
    resumed: bool = False
    seconds: float = 0.0

    @property
    def failed(self) -> int:
        """OperationOutcomes with an error."""
        return self.severities["fatal"] + self.severities["error"]

    @property
    def accepted(self) -> int | None:
        """Resources that are stored as the lines say, or were so before; None: the server does not say."""
        return sum(self.counts.get(name, 0) for name in _COUNTS) if self.counts else None

    @property
    def ok(self) -> bool:
        """Whether everything was done that was asked for."""
        return self.status in ("complete", "undone") and not self.failed and not self.kept and not self.stopped

    def show(self, issue: Issue) -> None:
        """Keeps an issue if it is one of the first few."""
        if issue.severity in _GRAVE:
            if len(self.problems) < SHOWN:
                self.problems.append(issue)
        elif len(self.words) < SHOWN and issue.text:
            self.words.append(issue.text)

    def is_full(self, told: Mapping[str, int]) -> bool:
        """Whether no more of a file with these severities would be shown."""
        grave = any(told.get(one) for one in _GRAVE) and len(self.problems) < SHOWN
        other = any(n for one, n in told.items() if one not in _GRAVE) and len(self.words) < SHOWN
        return not grave and not other

    def as_json(self) -> dict[str, object]:
        """Returns the summary as JSON values."""
        return {
            "target": self.target,
            "submitter": self.submitter,
            "submission": self.submission,
            "status": self.status,
            "manifests": self.manifests,
            "accepted": self.accepted,
            "counts": self.counts or None,
            "severities": dict(self.severities),
            "problems": [
                {"severity": one.severity, "code": one.code, "text": one.text, "expression": one.expression}
                for one in self.problems
            ],
            "messages": self.words,
            "kept": self.kept,
            "stopped": self.stopped,
            "again": self.again,
            "resumed": self.resumed,
            "seconds": round(self.seconds, 3),
        }

    def render(self) -> RenderableType:
        """Returns the summary for a terminal."""
        parts: list[RenderableType] = []
        if self.counts:
            table = Table("lines", *_COUNTS, "refused", box=None)
            for column in table.columns:
                column.justify = "right"
            table.add_row(*(f"{self.counts.get(name, 0):,}" for name in ("lines", *_COUNTS, "failed")))
            parts += [table, ""]
        else:
            parts += [Text(word) for word in self.words]
        for one in self.problems:
            where = f" ({', '.join(one.expression)})" if one.expression else ""
            parts.append(Text(f"{one.severity}, {one.code}: {one.text}{where}"))
        if self.problems:
            parts.append("")
        told = ", ".join(f"{count:,} {one}" for one in _GRAVE if (count := self.severities[one]))
        parts.append(Text(f"{self.status}: {told or 'no outcome is a warning or an error'}; {self.seconds:.1f} s"))
        if self.kept:
            parts.append(Text(f"{self.kept:,} resources stay as they are, since others have changed them"))
        parts.append(Text(f"submission {self.submission} of {self.submitter}, {self.target}"))
        parts += [Text(f"Stopped: {self.stopped}")] if self.stopped else []
        parts += [Text(self.again)] if self.again else []
        return Group(*parts)
