"""The results as a table in Markdown, or as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict

from rich import box
from rich.console import Console
from rich.table import Table

from conformance.bench.run import CONNECTIONS, Result

WANTED_TO_RAW = 0.6
WANTED_READS = 0.7
WANTED_PEAK = 200e6
_WIDTH = 118


def as_json(results: Sequence[Result]) -> str:
    """Everything, with the circumstances."""
    told = [
        asdict(result)
        | {"to_raw": result.to_raw, "reads_kept": {reads.connections: reads.kept for reads in result.reads}}
        for result in results
    ]
    return json.dumps({"processors": os.cpu_count(), "python": platform.python_version(), "results": told}, indent=2)


def print_table(results: Sequence[Result], console: Console) -> None:
    """One column for each store."""
    console.width = max(console.width, _WIDTH)
    table = Table(box=box.MARKDOWN)
    table.add_column("", no_wrap=True)
    for result in results:
        table.add_column(f"{result.store}, {result.resources:,} resources", justify="right", no_wrap=True)
    rows: list[tuple[str, list[str]]] = [
        ("seconds until the snapshot is settled", [f"{each.waited:.1f}" for each in results]),
        ("resources/s, exported", [f"{each.exports:,.0f}" for each in results]),
        ("plain obstore GETs/s of the same objects", [f"{each.raw:,.0f}" for each in results]),
        (f"ratio (wanted >= {WANTED_TO_RAW})", [f"{each.to_raw:.2f}" for each in results]),
        ("storage requests per resource", [_requests(each) for each in results]),
        ("MB/s, downloaded", [f"{each.downloads / 1e6:,.0f}" for each in results]),
        ("memory of the server before, MB", [f"{each.before / 1e6:.0f}" for each in results]),
        (
            f"peak during the export, MB (wanted <= {WANTED_PEAK / 1e6:.0f})",
            [f"{each.peak / 1e6:.0f}" for each in results],
        ),
    ]
    for n, connections in enumerate(CONNECTIONS):
        reads = [each.reads[n] for each in results]
        rows += [
            (f"reads/s of {connections} connections, alone", [f"{each.alone:,.0f}" for each in reads]),
            ("beside an export", [f"{each.beside:,.0f}" for each in reads]),
            (f"ratio (wanted >= {WANTED_READS})", [f"{each.kept:.2f}" for each in reads]),
        ]
    for name, cells in rows:
        table.add_row(name, *cells)
    console.print(table)
    console.print(f"{os.cpu_count()} processors shared by client, server and store; Python {platform.python_version()}")


def _requests(result: Result) -> str:
    if result.requests is None:
        return "not counted"
    return ", ".join(f"{count / result.resources:.3f} {kind}" for kind, count in result.requests.items())
