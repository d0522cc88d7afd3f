"""The benchmark of searches asks for what is there, counts what it finds, and goes on where it stopped.

Its figures are never asserted, machines differ.
"""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from conformance.bench.search.command import search
from conformance.bench.search.filling import fill
from conformance.bench.search.measuring import NotSupported, check_counts, found_by, measure, until_searchable
from conformance.bench.search.notes import Note, Notes, Timing
from conformance.bench.search.questions import KINDS, Drawing
from conformance.bench.search.report import as_json, complaints, print_tables
from conformance.population.population import Population
from conformance.rates.load import LoadFailed, Target
from tests.server.export.exporting import listening

SOME = 1_000
SELDOM = {"_has", "value-quantity range"}  # of so few patients, they find something only now and then
app = typer.Typer()
app.command()(search)


async def test_a_population_is_stored_and_each_kind_of_search_finds_some_of_it(tmp_path: Path) -> None:
    """All kinds are answered or said to be unsupported; each that is answered finds something."""
    async with listening() as base, httpx.AsyncClient() as client:
        notes = Notes(tmp_path, Note("embedded", 7, SOME, 1))
        await fill(Target.of(base), notes, lambda _: None)
        note = Notes(tmp_path, Note("embedded", 7, SOME, 1)).note
        assert note.stored == SOME == sum(note.types.values())
        assert note.patients == note.types["Provenance"] > 3
        await until_searchable(client, base)
        await check_counts(client, base, note.types)
        with pytest.raises(LoadFailed, match="were stored; a count says 200"):
            await check_counts(client, base, {"Patient": note.types["Patient"] + 1})
        drawing = Drawing(Population(7), note.patients, note.began, note.ended)
        for kind in KINDS:
            variants = kind.variants(drawing)
            assert variants == kind.variants(drawing)
            try:
                assert await found_by(client, base, variants) > 0
            except LoadFailed as failure:
                assert kind.name in SELDOM, failure
                assert "finds anything" in str(failure)
            except NotSupported:
                assert kind.name.startswith("$")


async def test_a_search_is_timed(tmp_path: Path) -> None:
    """Each answer counts, and what is no answer ends the measurement."""
    async with listening() as base, httpx.AsyncClient() as client:
        notes = Notes(tmp_path, Note("embedded", 7, 400, 1))
        await fill(Target.of(base), notes, lambda _: None)
        await until_searchable(client, base)
        drawing = Drawing(Population(7), 1, notes.note.began, notes.note.ended)
        (kind,) = (kind for kind in KINDS if kind.name == "patient")
        timing = await measure(client, base, kind, drawing, pid=0, clients=4, seconds=0.2)
        assert timing.clients == 4
        assert 0 < timing.p50 <= timing.p99 < 60
        assert timing.found > 1
        for path, reason in (("/Patient?family=nobody", "finds anything"), ("/Nothing?_count=1", "was answered 404")):
            with pytest.raises(LoadFailed, match=reason):
                await measure(
                    client,
                    base,
                    replace(kind, path=lambda *_, path=path: path),
                    drawing,
                    pid=0,
                    clients=1,
                    seconds=0.2,
                )


async def test_filling_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """What was stored before is not sent again."""
    async with listening() as base, httpx.AsyncClient() as client:
        notes = Notes(tmp_path, Note("embedded", 7, 300, 1, stored=200, filling=1.0))
        await fill(Target.of(base), notes, lambda _: None)
        assert notes.note.stored == 300
        first, *_, last = Population(7).take(300)
        assert (await client.get(f"{base}/{first.type}/{first.id}")).status_code == 404
        assert (await client.get(f"{base}/{last.type}/{last.id}")).status_code == 200
        with pytest.raises(LoadFailed, match="batches were answered"):
            await fill(Target.of(f"{base}/none"), Notes(tmp_path / "x", Note("embedded", 7, 10, 1)), lambda _: None)


def test_a_folder_is_of_one_run(tmp_path: Path) -> None:
    """A run with other data does not go on with a folder; nor does one whose note is damaged."""
    Notes(tmp_path, Note("embedded", 7, SOME, 1)).keep()
    assert Notes(tmp_path, Note("embedded", 7, SOME, 2)).note.workers == 2
    with pytest.raises(ValueError, match="other seed"):
        Notes(tmp_path, Note("embedded", 8, SOME, 1))
    (tmp_path / "bench.json").write_text("{")
    with pytest.raises(ValueError, match="not the note of a run"):
        Notes(tmp_path, Note("embedded", 7, SOME, 1))
    told = CliRunner().invoke(app, ["--folder", str(tmp_path)])
    assert told.exit_code == 2


def test_the_report_has_each_figure() -> None:
    """Rates, sizes and times, and which of them are not as wanted; as JSON, too."""
    timings = [Timing(clients, 1234.0, 0.002, 0.025, 0.0008, 19.5, 0.3) for clients in (1, 8)]
    note = Note(
        "s3", 7, SOME, 1, stored=SOME, filling=4.0, building=0.5, index=900_000, starting=12.3, writes=(3000.0, 2850.0)
    )
    note.timings = {"code": timings, "count only": timings, "$lastn": []}
    note.unsupported = ["$lastn"]
    console = Console(width=150, record=True, file=io.StringIO())
    print_tables(note, console)
    text = console.export_text()
    for told in ("250", "2,000", "900", "12.3", "3,000, 2,850", "0.95", "1,234", "2.0", "25.0", "800", "19.5"):
        assert told in text
    assert complaints(note) == ["$lastn: not supported", "code: p99 25 ms", "code: p99 25 ms"]
    assert json.loads(as_json(note))["result"]["timings"]["code"][1]["clients"] == 8


def test_what_is_misspelt_is_refused(tmp_path: Path) -> None:
    """An unknown store and an unknown kind end the command before anything starts."""
    for words in (["--store", "floppy"], ["--only", "astrology"]):
        assert CliRunner().invoke(app, ["--folder", str(tmp_path / "new"), *words]).exit_code == 2
    assert not (tmp_path / "new").exists()
