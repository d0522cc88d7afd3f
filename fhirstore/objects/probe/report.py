"""The result of a probe, as a value, as JSON and as a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How a check ended. Only `held` is a pass."""

    HELD = "held"
    BROKEN = "broken"
    INCONCLUSIVE = "inconclusive"


_MARKS = {Outcome.HELD: "✓", Outcome.BROKEN: "✗", Outcome.INCONCLUSIVE: "?"}

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]


@dataclass(frozen=True, slots=True)
class Check:
    """The check of one property. `required`: several writers lose data without it. `requests`: sent for it."""

    name: str
    proves: str
    required: bool
    outcome: Outcome
    detail: str
    requests: int

    @property
    def held(self) -> bool:
        return self.outcome is Outcome.HELD


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """All checks of one probe. `skew`: the store's clock minus this machine's, ms; `seconds`: duration."""

    location: str
    thorough: bool
    checks: tuple[Check, ...]
    skew: int
    seconds: float

    @property
    def safe(self) -> bool:
        """Whether several writers may share this store: every required check held."""
        return bool(self.checks) and all(check.held for check in self.checks if check.required)

    @property
    def broken(self) -> bool:
        """Whether the store was seen to break a required check: then it is not safe, however often it is asked."""
        return bool(self.failed(Outcome.BROKEN))

    @property
    def requests(self) -> int:
        """The requests of all checks, without the final removal."""
        return sum(check.requests for check in self.checks)

    def failed(self, outcome: Outcome) -> tuple[str, ...]:
        """Returns the names of the required checks with this outcome."""
        return tuple(check.name for check in self.checks if check.required and check.outcome is outcome)

    def as_json(self) -> Mapping[str, Json]:
        """Returns the report as plain JSON values."""
        checks: list[Json] = [
            {
                "name": check.name,
                "proves": check.proves,
                "required": check.required,
                "held": check.held,
                "outcome": check.outcome.value,
                "detail": check.detail,
                "requests": check.requests,
            }
            for check in self.checks
        ]
        return {
            "store": self.location,
            "safe": self.safe,
            "thorough": self.thorough,
            "clock_skew_ms": self.skew,
            "requests": self.requests,
            "seconds": round(self.seconds, 3),
            "checks": checks,
        }


def advice(report: ProbeReport, *, override: str = "") -> str:
    """Returns one sentence: whether the store is safe, and what to do if not. `override`: the caller's switch, if
    any."""
    if report.safe:
        return "Safe for several writers: every required check held."
    broken = report.failed(Outcome.BROKEN)
    if not broken:
        open_checks = ", ".join(report.failed(Outcome.INCONCLUSIVE))
        return (
            f"Not shown to be safe: the store gave no clear answer to {open_checks}; "
            "probe again when it is reachable and less busy."
        )
    switch = f" ({override})" if override else ""
    return (
        f"NOT SAFE for several writers, updates would be lost ({', '.join(broken)}): use a store whose conditional PUT "
        "is atomic, such as AWS S3, Cloudflare R2, MinIO, Ceph 20 or SeaweedFS, "
        f"or let exactly one process write to this one{switch}."
    )


def render(report: ProbeReport, *, override: str = "") -> str:
    """Returns the report as an aligned table of plain text, followed by the `advice`."""
    header = ("", "check", "required", "requests", "proves that", "found")
    rows = [
        (
            _MARKS[check.outcome],
            check.name,
            "yes" if check.required else "no",
            str(check.requests),
            check.proves,
            check.detail,
        )
        for check in report.checks
    ]
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (header, *rows)]
    form = "thorough" if report.thorough else "short"
    title = f"{report.location}: {form} probe, {report.requests} requests, {report.seconds:.1f} s"
    return "\n".join([title, "", *(line.rstrip() for line in lines), "", advice(report, override=override)])
