"""The benchmark of exports measures what it says; its figures are never asserted, machines differ."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import httpx
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from conformance.bench.command import export
from conformance.bench.exporting import Exported, Exporting, download, remove
from conformance.bench.filling import fill, ids
from conformance.bench.raw import files, rate_of_gets
from conformance.bench.report import as_json, print_table
from conformance.bench.run import CONNECTIONS, Reads, Result
from conformance.processes import ServerFailed
from conformance.rates.load import LoadFailed, Target
from conformance.s3servers import S3Server
from tests.server.export.exporting import listening

app = typer.Typer()
app.command()(export)
RESULT = Result(
    store="s3",
    resources=1000,
    waited=34.0,
    exports=1200.0,
    downloads=50e6,
    raw=2000.0,
    before=100_000_000,
    peak=150_000_000,
    reads=tuple(Reads(n, 5000.0 + n, 4000.0) for n in CONNECTIONS),
    requests={"GET": 1004, "LIST": 2},
)


async def test_a_server_is_filled_exported_and_counted() -> None:
    """Every resource is exported once; the count of lines and of ids is checked, and the job removed."""
    async with listening() as base, httpx.AsyncClient() as client:
        await fill(Target.of(base), 250)
        exporting = Exporting(client, base)
        exported = await exporting.export()
        assert exporting.working.is_set()
        assert 0 < exported.working <= exported.done
        size, _ = await download(client, exported, expected=250)
        assert 250 * 2000 < size < 250 * 2400
        with pytest.raises(LoadFailed, match="250 of 251 resources"):
            await download(client, exported, expected=251)
        twice = Exported(exported.status_url, exported.files * 2, 0.0, 1.0)
        with pytest.raises(LoadFailed, match="some 2 times"):
            await download(client, twice, expected=250)
        wrong = Exported(exported.status_url, tuple((url, 1) for url, _ in exported.files), 0.0, 1.0)
        with pytest.raises(LoadFailed, match="the manifest says 1"):
            await download(client, wrong, expected=250)
        await remove(client, exported)
        assert (await client.get(exported.status_url)).status_code == 404


async def test_what_goes_wrong_is_one_line() -> None:
    """A server without exports; batches that are refused."""
    async with listening() as base, httpx.AsyncClient() as client:
        with pytest.raises(LoadFailed, match="the kick-off was answered 404"):
            await Exporting(client, f"{base}/nothing").export()
        with pytest.raises(LoadFailed, match="filling the server"):
            await fill(Target.of(f"{base}/nothing"), 1)


async def test_plain_gets_get_each_object(tmp_path: Path) -> None:
    """All of them, or it fails."""
    store = files(ids(20), tmp_path)
    assert await rate_of_gets(store, ids(20), at_once=4) > 0
    with pytest.raises(ExceptionGroup):
        await rate_of_gets(store, ids(21), at_once=4)


def _since(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {kind: after.get(kind, 0) - before.get(kind, 0) for kind in ("GET", "LIST")}


def test_seaweedfs_tells_how_many_requests_came(seaweedfs: S3Server) -> None:
    """By kind, to its bucket; a server that does not count says so."""
    before = seaweedfs.requests()
    for _ in range(3):
        seaweedfs.request("GET", f"/{seaweedfs.bucket}/ready")
    seaweedfs.request("GET", f"/{seaweedfs.bucket}?list-type=2")
    deadline = time.monotonic() + 30  # it counts a request a moment after its answer
    while (counted := _since(before, seaweedfs.requests())) != {"GET": 3, "LIST": 1}:
        assert time.monotonic() < deadline, counted
        time.sleep(0.05)
    with pytest.raises(ServerFailed, match="does not count"):
        S3Server("other", None, "", "").requests()


def test_the_report_has_each_figure() -> None:
    """Rates, ratios, memory and requests; as JSON, too."""
    console = Console(width=118, record=True, file=io.StringIO())
    print_table([RESULT], console)
    text = console.export_text()
    for told in ("1,200", "2,000", "0.60", "1.004 GET, 0.002 LIST", "150", "5,016", "5,004", "5,001", "0.80"):
        assert told in text
    (result,) = json.loads(as_json([RESULT]))["results"]
    assert result["to_raw"] == 0.6
    assert result["reads_kept"]["1"] == 4000 / 5001


def test_an_unknown_store_is_refused() -> None:
    """A misspelt store ends the command before anything starts."""
    assert CliRunner().invoke(app, ["--stores", "floppy"]).exit_code == 2
