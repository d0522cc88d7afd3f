"""`fhirstore upload` and `fhirstore download` move a file, go on where they were cut, and check its hash."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from fhirstore import FhirStore
from server.cli import app
from tests.server.processes import ServeProcess

PART = 8 * 1024 * 1024
SIZE = 3 * PART + 1234


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    """A server on an embedded store."""
    folder = tmp_path_factory.mktemp("served")
    process = ServeProcess({"FHIRSTORE_STORE": f"file:{folder / 'store'}"})
    process.start()
    yield process
    process.stop()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of three parts and a rest."""
    path = tmp_path_factory.mktemp("files") / "scan.pdf"
    path.write_bytes(os.urandom(SIZE))
    return path


def command(*arguments: str) -> subprocess.Popen[str]:
    program = str(Path(sys.executable).with_name("fhirstore"))
    return subprocess.Popen([program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Runs a command in this process. Returns its exit code and its JSON."""
    done = CliRunner().invoke(app, [*arguments, "--json"])
    return done.exit_code, json.loads(done.stdout) if done.stdout else {"errors": done.stderr}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_up_and_down(server: ServeProcess, file: Path, tmp_path: Path) -> None:
    """The file that comes back is the one that was sent, and both say that they verified it."""
    code, up = run("upload", str(file), "--server", server.base_url)
    assert (code, up["status"], up["moved"], up["sha256"]) == (0, "complete", SIZE, sha256(file))
    read = httpx.get(f"{server.base_url}/{up['reference']}", headers={"Range": "bytes=0-3"})
    assert (read.status_code, read.headers["content-type"]) == (206, "application/pdf")
    assert not file.with_name("scan.pdf.upload.json").exists()
    target = tmp_path / "back.pdf"
    code, down = run("download", up["reference"], str(target), "--server", server.base_url)
    assert (code, down["verified"], sha256(target)) == (0, True, sha256(file))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back.pdf"]


@pytest.mark.kill
def test_an_upload_goes_on_where_it_was_cut(server: ServeProcess, file: Path) -> None:
    """What the server has is not sent again."""
    process = command("upload", str(file), "--server", server.base_url, "--json", "--concurrency", "1")
    kept = file.with_name("scan.pdf.upload.json")
    deadline = time.monotonic() + 60
    received = 0
    while received < PART and process.poll() is None:
        assert time.monotonic() < deadline
        if kept.exists():
            status = httpx.get(f"{server.base_url}/_upload/{json.loads(kept.read_text())['id']}").json()
            received = next((each["valueDecimal"] for each in status["parameter"] if each["name"] == "received"), 0)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    if not kept.exists():
        pytest.skip("the command was quicker than the test")
    code, up = run("upload", str(file), "--server", server.base_url)
    assert (code, up["status"]) == (0, "complete")
    assert up["resumed"] >= PART
    assert up["resumed"] + up["moved"] == SIZE


def test_a_download_goes_on_where_it_was_cut(server: ServeProcess, file: Path, tmp_path: Path) -> None:
    """The part that is there is kept if the content is still the same, and fetched anew if it is not."""
    _, up = run("upload", str(file), "--server", server.base_url)
    etag = httpx.head(f"{server.base_url}/{up['reference']}").headers["etag"]
    target = tmp_path / "back.pdf"
    for validator, resumed in ((etag, PART), ('"other"', 0)):
        (tmp_path / "back.pdf.part").write_bytes(file.read_bytes()[:PART] if resumed else b"x" * PART)
        kept = {"place": server.base_url, "reference": up["reference"], "validator": validator}
        (tmp_path / "back.pdf.download.json").write_text(json.dumps(kept))
        code, down = run("download", up["reference"], str(target), "--server", server.base_url)
        assert (code, down["resumed"], down["moved"]) == (0, resumed, SIZE - resumed)
        assert sha256(target) == sha256(file)


def test_a_damaged_beginning_is_found(server: ServeProcess, file: Path, tmp_path: Path) -> None:
    """A part that has other bytes than it should makes no file, and the next run begins anew."""
    _, up = run("upload", str(file), "--server", server.base_url)
    etag = httpx.head(f"{server.base_url}/{up['reference']}").headers["etag"]
    target = tmp_path / "back.pdf"
    (tmp_path / "back.pdf.part").write_bytes(b"x" * PART)
    kept = {"place": server.base_url, "reference": up["reference"], "validator": etag}
    (tmp_path / "back.pdf.download.json").write_text(json.dumps(kept))
    code, down = run("download", up["reference"], str(target), "--server", server.base_url)
    assert (code, down["status"], target.exists()) == (1, "failed", False)
    assert run("download", up["reference"], str(target), "--server", server.base_url)[0] == 0


async def _made(store: str) -> None:
    async with FhirStore.open(store):
        pass


def test_straight_into_a_store(file: Path, tmp_path: Path) -> None:
    """Without a server, the same commands work on the store itself."""
    store = f"file:{tmp_path / 'store'}"
    asyncio.run(_made(store))
    code, up = run("upload", str(file), "--store", store)
    assert (code, up["status"]) == (0, "complete"), up
    target = tmp_path / "back.pdf"
    code, down = run("download", up["reference"], str(target), "--store", store)
    assert (code, down["verified"], sha256(target)) == (0, True, sha256(file))


def test_what_is_wrong_is_said(server: ServeProcess, file: Path, tmp_path: Path) -> None:
    """Exit code 1 where the server refuses, 2 where nothing can begin."""
    target = str(tmp_path / "x")
    code, down = run("download", "Binary/none", target, "--server", server.base_url)
    assert (code, down["status"]) == (1, "failed")
    assert "404" in down["stopped"]
    assert run("download", "Patient/1", target, "--server", server.base_url)[0] == 2
    assert run("upload", str(file), "--server", "ftp://x")[0] == 2
    assert run("upload", str(tmp_path / "none"), "--server", server.base_url)[0] == 2
    assert run("upload", str(file), "--type", "pdf", "--server", server.base_url)[0] == 1
