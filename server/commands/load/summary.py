"""The results of a load: counted by type and result, failures grouped by cause."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from server.commands.load.reading import Unreadable
from server.commands.load.sending import Outcome
from server.commands.outcomes import Cause

EXAMPLES = 3
GROUPS = 100

# Ids, byte offsets, dates: the words that differ between two messages of one cause have a digit.
_DIFFERING = re.compile(r"[\w.:/+-]*\d[\w.:/+-]*")
_NOT_SENT = "(not sent)"
_MORE = Cause(0, "", "Further causes")


@dataclass(slots=True)
class FailureGroup:
    """Resources that failed for the same cause. `cause`: of the first; `examples`: the sources of the first few."""

    cause: Cause
    count: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a load got. `last`: the source sent last; `position` of `total` bytes of the files were read."""

    last: str | None
    position: int
    total: int


@dataclass(frozen=True, slots=True)
class LoadSummary:
    """The result of a load. `types`: type -> result -> count. `stopped`: why it ended early, if it did."""

    url: str
    types: Mapping[str, Mapping[str, int]]
    failures: tuple[FailureGroup, ...]
    skipped: int
    retries: int
    bytes: int
    seconds: float
    stopped: str | None
    reach: Reach

    def count(self, result: str) -> int:
        """Returns the number of resources with this `result`: created, updated, existing, failed, unknown."""
        return sum(results.get(result, 0) for results in self.types.values())

    @property
    def stored(self) -> int:
        return self.count("created") + self.count("updated") + self.count("existing")

    @property
    def ok(self) -> bool:
        """Whether everything was sent and stored."""
        return not self.failures and self.stopped is None

    @property
    def rate(self) -> float:
        """Stored resources per second."""
        return self.stored / self.seconds if self.seconds else 0.0

    def as_json(self) -> dict[str, object]:
        """Returns the summary as JSON values."""
        return {
            "url": self.url,
            "created": self.count("created"),
            "updated": self.count("updated"),
            "existing": self.count("existing"),
            "failed": self.count("failed"),
            "unknown": self.count("unknown"),
            "skipped": self.skipped,
            "retries": self.retries,
            "bytes": self.bytes,
            "seconds": round(self.seconds, 3),
            "rate": round(self.rate, 1),
            "stopped": self.stopped,
            "last_sent": self.reach.last,
            "bytes_read": self.reach.position,
            "bytes_of_files": self.reach.total,
            "types": {name: dict(results) for name, results in self.types.items()},
            "failures": [
                {
                    "status": group.cause.status,
                    "code": group.cause.code,
                    "diagnostics": group.cause.diagnostics,
                    "count": group.count,
                    "examples": group.examples,
                }
                for group in self.failures
            ],
        }

    def render(self) -> RenderableType:
        """Returns the summary as tables for a terminal."""
        results = ("created", "updated", "existing", "failed", "unknown")
        counts = Table("type", *results, box=None)
        for column in counts.columns[1:]:
            column.justify = "right"
        for name, of_type in self.types.items():
            counts.add_row(Text(name), *(str(of_type.get(result, "")) for result in results))
        counts.add_row("all", *(str(self.count(result)) for result in results), style="bold")
        parts: list[RenderableType] = [counts]
        if self.failures:
            for group in self.failures:
                words = (str(group.cause.status or ""), group.cause.code, group.cause.diagnostics)
                parts += ["", Text(f"{group.count} times: {' '.join(filter(None, words))}")]
                parts += [Text(f"    {source}") for source in group.examples]
                parts += [Text("    …")] if group.count > len(group.examples) else []
        extra = [f"{self.retries} retries"] if self.retries else []
        extra += [f"{self.skipped} skipped"] if self.skipped else []
        line = f"{self.bytes / 1e6:.1f} MB in {self.seconds:.1f} s, {self.rate:.0f} resources/s"
        parts += ["", Text("; ".join([line, *extra]))]
        if self.stopped:
            parts += [Text(f"Stopped: {self.stopped}"), Text(self._going_on())]
        return Group(*parts)

    def _going_on(self) -> str:
        """Returns what was not sent, and how to continue."""
        if self.reach.last is None:
            return "Nothing was sent."
        return (
            f"The last one sent is {self.reach.last}; what comes after it was not sent "
            f"({self.reach.position / 1e6:.1f} of {self.reach.total / 1e6:.1f} MB of the files were read). To go on, "
            "run the command again: what has an id is put to the same place. What has none, and a Bundle that is "
            "processed, would be created again: leave out the files that are done."
        )


class Tally:
    """Counts while a load runs; holds a bounded number of groups and examples, however much fails."""

    def __init__(self) -> None:
        self.stored = 0
        self.failed = 0
        self.skipped = 0
        self._retries = 0
        self._bytes = 0
        self._types: dict[str, Counter[str]] = {}
        self._groups: dict[tuple[int, str, str], FailureGroup] = {}

    def add(self, outcome: Outcome) -> None:
        """Counts a resource that was sent."""
        self._retries += outcome.retries
        self._bytes += outcome.size
        self._types.setdefault(outcome.type, Counter())[outcome.result] += 1
        if outcome.cause is None:
            self.stored += 1
        else:
            self._fail(outcome.source, outcome.cause)

    def add_unreadable(self, unreadable: Unreadable) -> None:
        """Counts a resource that could not be read, and was not sent."""
        self._types.setdefault(_NOT_SENT, Counter())["failed"] += 1
        self._fail(unreadable.source, Cause(0, unreadable.code, unreadable.diagnostics))

    def _fail(self, source: str, cause: Cause) -> None:
        self.failed += 1
        key = (cause.status, cause.code, _DIFFERING.sub("…", cause.diagnostics))
        if key not in self._groups and len(self._groups) >= GROUPS:
            key, cause = (0, "", ""), _MORE
        group = self._groups.setdefault(key, FailureGroup(cause))
        group.count += 1
        if len(group.examples) < EXAMPLES:
            group.examples.append(source)

    def summary(self, url: str, *, seconds: float, stopped: str | None, reach: Reach) -> LoadSummary:
        """Returns the counts, the most frequent first."""
        return LoadSummary(
            url=url,
            types={name: dict(self._types[name]) for name in sorted(self._types)},
            failures=tuple(sorted(self._groups.values(), key=lambda group: -group.count)),
            skipped=self.skipped,
            retries=self._retries,
            bytes=self._bytes,
            seconds=seconds,
            stopped=stopped,
            reach=reach,
        )
