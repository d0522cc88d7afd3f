"""What a run knows, as tables in Markdown or as JSON."""

from __future__ import annotations

import json
import os
import platform

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from conformance.bench.search.notes import Note, Timing
from conformance.bench.search.questions import KINDS
from conformance.bench.search.run import CLIENTS

WANTED_P99 = 0.020
WANTED_RATE = 2_000
WANTED_BUILD = 15_000
WANTED_BYTES = 1_000
WANTED_START = 30
WANTED_WRITES = 0.9
_WIDTH = 170
_COUNTING = frozenset(kind.name for kind in KINDS if kind.counts)


def as_json(note: Note) -> str:
    """Everything, with the circumstances."""
    told = {"processors": os.cpu_count(), "python": platform.python_version(), "result": msgspec.to_builtins(note)}
    return json.dumps(told, indent=2)


def print_tables(note: Note, console: Console) -> None:
    """The store and its index, then a row per kind of search."""
    console.width = max(console.width, _WIDTH)
    console.print(_whole(note))
    console.print(_searches(note))
    processors = os.cpu_count() or 1
    console.print(
        f"Server side: searches per second of {processors} processors that do nothing else, by the server's CPU time; "
        f"wanted >= {WANTED_RATE:,} where about 20 are found. p99: wanted <= {WANTED_P99 * 1000:.0f} ms. "
        f"Client, server and store share the processors; Python {platform.python_version()}."
    )


def _whole(note: Note) -> Table:
    table = Table(box=box.MARKDOWN)
    table.add_column("", no_wrap=True)
    table.add_column(f"{note.store}, {note.resources:,} resources", justify="right", no_wrap=True)
    if note.filling:
        table.add_row("resources/s, stored by batches", f"{note.stored / note.filling:,.0f}")
    if note.building:
        rate = note.resources / note.building
        table.add_row(f"resources/s, index built (wanted >= {WANTED_BUILD:,})", f"{rate:,.0f}")
    if note.index:
        size = note.index / note.resources
        table.add_row(f"bytes of index per resource (wanted <= {WANTED_BYTES:,})", f"{size:,.0f}")
    if note.starting:
        table.add_row(f"seconds to start from a copy (wanted <= {WANTED_START})", f"{note.starting:.1f}")
    if note.writes:
        alone, indexed = note.writes
        table.add_row("creates/s without an index, and with one", f"{alone:,.0f}, {indexed:,.0f}")
        table.add_row(f"ratio (wanted >= {WANTED_WRITES})", f"{indexed / alone:.2f}")
    return table


def _searches(note: Note) -> Table:
    table = Table(box=box.MARKDOWN)
    table.add_column("search", no_wrap=True)
    table.add_column("found", justify="right", no_wrap=True)
    for clients in CLIENTS:
        for heading in (f"{clients} at once: /s", "p50 ms", "p99 ms"):
            table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("CPU µs", "server side /s", "load"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, timings in note.timings.items():
        if not timings:
            continue
        by_clients = {timing.clients: timing for timing in timings}
        last = timings[-1]
        table.add_row(
            name,
            f"{last.found:,.1f}",
            *(cell for clients in CLIENTS for cell in _cells(by_clients.get(clients))),
            f"{last.cpu * 1e6:,.0f}",
            f"{(os.cpu_count() or 1) / last.cpu:,.0f}" if last.cpu else "",
            f"{last.load:.1f}",
        )
    return table


def _cells(timing: Timing | None) -> tuple[str, str, str]:
    if timing is None:
        return "", "", ""
    return f"{timing.rate:,.0f}", f"{timing.p50 * 1e3:.1f}", f"{timing.p99 * 1e3:.1f}"


def complaints(note: Note) -> list[str]:
    """The kinds of search that are not supported, or whose slowest hundredth takes longer than is wanted."""
    return [f"{name}: not supported" for name in note.unsupported] + [
        f"{name}: p99 {timing.p99 * 1e3:.0f} ms"
        for name, timings in note.timings.items()
        for timing in timings
        if timing.p99 > WANTED_P99 and name not in _COUNTING
    ]
