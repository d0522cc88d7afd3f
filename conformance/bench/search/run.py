"""A run: fill, build, measure, start again; each step once."""

from __future__ import annotations

import time
from pathlib import Path

import httpx

from conformance.bench.search.filling import Say, fill
from conformance.bench.search.measuring import NotSupported, check_counts, measure, until_searchable
from conformance.bench.search.notes import Note, Notes
from conformance.bench.search.questions import KINDS, Drawing, Kind
from conformance.bench.search.serving import Bench, bench_of
from conformance.bench.search.writing import creates_per_second
from conformance.population.population import Population
from conformance.rates.load import LoadFailed, Target

CLIENTS = (1, 8)
_TIMEOUT = 120.0


async def run(notes: Notes, folder: Path, *, kinds: tuple[Kind, ...] = KINDS, seconds: float, say: Say) -> Note:
    """Measures what is not in the note yet. Raises LoadFailed, ServerFailed."""
    note = notes.note
    with bench_of(notes, folder) as bench:
        if note.stored < note.resources:
            with bench.served(note.workers) as server:
                await fill(Target.of(server.url), notes, say)
        if note.building is None:
            say("building the index")
            await _build(bench, notes)
        await _search(bench, notes, kinds, seconds, say)
        if note.starting is None:
            say("starting from a copy of the index")
            await _start(bench, notes)
    if note.writes is None and note.store == "embedded":
        say("creates with and without an index")
        note.writes = await creates_per_second()
        notes.keep()
    return note


async def _build(bench: Bench, notes: Notes) -> None:
    bench.forget_index()
    notes.note.building = bench.command("index", "build", "--from-log")
    notes.note.index = bench.index_bytes()
    notes.keep()


async def _search(bench: Bench, notes: Notes, kinds: tuple[Kind, ...], seconds: float, say: Say) -> None:
    note = notes.note
    if not note.patients:
        raise LoadFailed("no patient is stored whole: take more --resources")
    drawing = Drawing(Population(note.seed), note.patients, note.began, note.ended)
    with bench.served(note.workers) as server:
        async with httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False) as client:
            await until_searchable(client, server.url)
            await check_counts(client, server.url, note.types)
            note.unsupported.clear()
            for kind in kinds:
                known = note.timings.setdefault(kind.name, [])
                missing = [clients for clients in CLIENTS if all(timing.clients != clients for timing in known)]
                try:
                    for clients in missing:
                        say(f"{kind.name}: {clients} clients")
                        known.append(
                            await measure(
                                client, server.url, kind, drawing, pid=server.pid, clients=clients, seconds=seconds
                            )
                        )
                        notes.keep()
                except NotSupported:
                    note.unsupported.append(kind.name)


async def _start(bench: Bench, notes: Notes) -> None:
    """Seconds from the start of a server that has no index to its first answer to a search."""
    bench.command("index", "save")
    bench.forget_index()
    began = time.perf_counter()
    with bench.served(notes.note.workers) as server:
        async with httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False) as client:
            await until_searchable(client, server.url)
            notes.note.starting = time.perf_counter() - began
            await check_counts(client, server.url, notes.note.types)
    notes.keep()
