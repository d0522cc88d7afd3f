"""The run as two tables in Markdown, to be pasted into a README as they are, or as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict

from rich import box
from rich.console import Console
from rich.table import Table

from conformance.rates.rows import Row, Subject
from conformance.rates.run import Plan

WIDTH = 118


def as_json(plan: Plan, subjects: Sequence[Subject]) -> str:
    """Everything, with the circumstances."""
    return json.dumps({"run": _circumstances(plan), "subjects": [asdict(subject) for subject in subjects]}, indent=2)


def print_tables(plan: Plan, subjects: Sequence[Subject], console: Console) -> None:
    """Rows first, then ratios."""
    facts = _circumstances(plan)
    console.width = max(console.width, WIDTH)
    console.print(
        f"{facts['connections']} connections, median of {facts['rounds']} x {facts['seconds']} s; "
        f"{facts['processors']} processors shared by client, server and store; Python {facts['python']}\n"
    )
    console.print(_rows(subjects))
    if any(subject.ratios for subject in subjects):
        console.print(_ratios(subjects))
    for subject in subjects:
        for row in subject.rows:
            if row.unexpected:
                console.print(
                    f"{subject.name} {row.name}: unexpected answers {dict(row.unexpected)} (0: connection lost)"
                )


def _rows(subjects: Sequence[Subject]) -> Table:
    table = Table(box=box.MARKDOWN)
    for heading in ("store", "interaction"):
        table.add_column(heading, no_wrap=True)
    for heading in ("server CPU µs", "S3 CPU µs", "requests/s"):
        table.add_column(heading, justify="right", no_wrap=True)
    for subject in subjects:
        for row in subject.rows:
            table.add_row(subject.name, row.name, *_cells(row))
    return table


def _cells(row: Row) -> list[str]:
    return [_whole(row.cpu_us), _whole(row.s3_cpu_us), _whole(row.rate)]


def _ratios(subjects: Sequence[Subject]) -> Table:
    table = Table(box=box.MARKDOWN)
    table.add_column("store", no_wrap=True)
    table.add_column("ratio of rates", no_wrap=True)
    table.add_column("measured", justify="right", no_wrap=True)
    table.add_column("by CPU", justify="right", no_wrap=True)
    table.add_column("wanted", justify="right", no_wrap=True)
    for subject in subjects:
        for ratio in subject.ratios:
            wanted = "" if ratio.wanted is None else f">= {ratio.wanted:.2f}"
            by_cpu = "" if ratio.by_cpu is None else f"{ratio.by_cpu:.2f}"
            table.add_row(subject.name, ratio.name, f"{ratio.value:.2f}", by_cpu, wanted)
    return table


def _whole(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _circumstances(plan: Plan) -> dict[str, object]:
    return {
        "connections": plan.effort.connections,
        "seconds": plan.effort.seconds,
        "rounds": plan.rounds,
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.system(),
    }
