"""`python -m conformance bench search`: options in, tables out."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from conformance.bench.search.notes import Note, Notes
from conformance.bench.search.questions import KINDS
from conformance.bench.search.report import as_json, complaints, print_tables
from conformance.bench.search.run import run
from conformance.bench.search.serving import STORES
from conformance.processes import ServerFailed
from conformance.rates.load import LoadFailed


def search(  # noqa: PLR0917 - a command's parameters are its options
    folder: Annotated[Path, typer.Option(help="Where data and results lie; run again, it goes on there.")],
    store: Annotated[str, typer.Option(help="embedded or s3 (SeaweedFS).")] = "embedded",
    resources: Annotated[int, typer.Option(min=1_000, help="How many are stored.")] = 100_000,
    seed: Annotated[int, typer.Option(help="Of the population that they are of.")] = 1,
    workers: Annotated[int, typer.Option(min=1, help="Processes of the server.")] = 1,
    seconds: Annotated[float, typer.Option(min=0.05, help="Of each kind of search, by each number of clients.")] = 3.0,
    only: Annotated[
        str, typer.Option(help="Kinds of search with this in their name; their times are taken anew.")
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Search: times of each kind, rate and size of the index; exit code 1 where something is not answered."""
    if store not in STORES:
        raise typer.BadParameter(f"choose from {', '.join(STORES)}", param_hint="--store")
    kinds = tuple(kind for kind in KINDS if only in kind.name)
    if not kinds:
        raise typer.BadParameter(f"choose from {', '.join(kind.name for kind in KINDS)}", param_hint="--only")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        notes = Notes(folder.resolve(), Note(store, seed, resources, workers))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--folder") from error
    if only:
        for kind in kinds:
            notes.note.timings.pop(kind.name, None)
    progress = Console(stderr=True)
    try:
        with progress.status("starting") as status, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            note = runner.run(run(notes, folder.resolve(), kinds=kinds, seconds=seconds, say=status.update))
    except (LoadFailed, ServerFailed) as error:
        progress.print(str(error), markup=False)
        raise typer.Exit(1) from error
    if json:
        print(as_json(note))
        return
    print_tables(note, Console())
    for complaint in complaints(note):
        progress.print(complaint, markup=False)
