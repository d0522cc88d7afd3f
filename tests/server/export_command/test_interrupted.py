"""`fhirstore export` as a process: ended by signals and kills, gone on with, on a terminal and without one."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from aiohttp import web

from server.commands.export.journal import NAME
from tests.server.export_command.scripted import BulkServer, ndjson, run, until

pytestmark = pytest.mark.kill

_PATIENCE = 60.0  # seconds for a process on a busy machine
LINES = 50_000  # 4 MB


@asynccontextmanager
async def exporting(server: BulkServer, *arguments: str | Path, **env: str) -> AsyncIterator[Process]:
    """The command, ended at the end."""
    command = [str(Path(sys.executable).with_name("fhirstore")), "export", "--url", server.base, *map(str, arguments)]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE, env={**os.environ, **env})
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def ended(process: Process) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    async with asyncio.timeout(_PATIENCE):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


def held(server: BulkServer) -> None:
    """A small file, and one that stops in the middle."""
    server.add("Patient.a", 3)
    server.add("Patient.b", LINES, cuts=[2_500_000], hold=asyncio.Event())
    server.pages = [server.manifest("Patient.a", "Patient.b")]


async def downloading(folder: Path) -> None:
    """Returns once the small file is whole and the other one is not."""
    part = folder / "Patient.002.ndjson.part"
    await until(lambda: (folder / "Patient.001.ndjson").exists() and part.exists() and part.stat().st_size > 1 << 20)


async def test_progress_is_told_without_a_terminal(server: BulkServer, tmp_path: Path) -> None:
    """Lines on stderr: the server's words, then files and bytes; the summary alone is on stdout."""
    held(server)
    server.polls = [web.Response(status=202, headers={"X-Progress": "Observation 41 %", "Retry-After": "1"})]
    async with exporting(server, "--out", tmp_path, "--progress-every", "0.2", "--json") as process:
        assert process.stderr
        lines = []
        async with asyncio.timeout(_PATIENCE):
            while "1 of 2 files" not in (line := (await process.stderr.readline()).decode()):
                lines.append(line)
                assert line.startswith("fhirstore: "), line
        assert "fhirstore: the server is at work: Observation 41 %\n" in lines
        hold = server.files["Patient.b"].hold
        assert hold is not None
        hold.set()
        code, out, _ = await ended(process)
    assert (code, json.loads(out)["output"]["Patient"]["count"]) == (0, LINES + 3)


async def test_ctrl_c_cancels_the_job(server: BulkServer, tmp_path: Path) -> None:
    """While the server works: DELETE, exit code 130, and the folder takes a new export."""
    server.polls = [None] * 100
    async with exporting(server, "--out", tmp_path) as process:
        await until(lambda: bool(server.asked("GET", "/status/0")))
        process.send_signal(signal.SIGINT)
        code, out, err = await ended(process)
    assert (code, err) == (130, "")
    assert "Stopped: interrupted by SIGINT; the job is cancelled" in out
    assert [len(server.asked("DELETE", "/status/0")), server.gone] == [1, True]
    server.gone = False
    server.polls.clear()
    assert (await run(server, tmp_path)).ok


async def test_ctrl_c_during_downloads_keeps_what_is_whole(server: BulkServer, tmp_path: Path) -> None:
    """Parts are removed, since nothing can go on from them; the folder says what it holds."""
    held(server)
    async with exporting(server, "--out", tmp_path, "--json") as process:
        await downloading(tmp_path)
        process.send_signal(signal.SIGINT)
        code, out, _ = await ended(process)
    told = json.loads(out)
    assert (code, told["status"], told["output"]["Patient"]["files"]) == (130, "cancelled", 1)
    assert {path.name for path in tmp_path.iterdir()} == {NAME, "Patient.001.ndjson"}
    async with exporting(server, "--out", tmp_path) as process:
        code, _, err = await ended(process)
    assert (code, "holds files of an export that was cancelled" in err) == (2, True)


async def test_a_server_that_does_not_answer_a_delete_does_not_hold_ctrl_c(server: BulkServer, tmp_path: Path) -> None:
    """It is told, and the command ends."""
    server.polls = [None] * 100
    server.deletes = 500
    async with exporting(server, "--out", tmp_path) as process:
        await until(lambda: bool(server.asked("GET", "/status/0")))
        process.send_signal(signal.SIGINT)
        code, out, _ = await ended(process)
    assert (code, "the server did not say that it cancelled" in out) == (130, True)


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
async def test_a_command_that_was_ended_is_gone_on_with(
    server: BulkServer, tmp_path: Path, sign: signal.Signals, code: int
) -> None:
    """The same command again: the same job, what is whole stays, and what was begun goes on."""
    held(server)
    async with exporting(server, "--out", tmp_path) as process:
        await downloading(tmp_path)
        process.send_signal(sign)
        got, _, err = await ended(process)
    assert (got, err) == (code, "")
    assert server.asked("DELETE", "/status/0") == []
    hold = server.files["Patient.b"].hold
    assert hold is not None
    hold.set()
    async with exporting(server, "--out", tmp_path, "--json") as process:
        code, out, _ = await ended(process)
    told = json.loads(out)
    assert (code, told["status"], told["resumed"], told["output"]["Patient"]["count"]) == (
        0,
        "complete",
        True,
        LINES + 3,
    )
    assert (tmp_path / "Patient.002.ndjson").read_bytes() == server.files["Patient.b"].body
    assert [len(server.asked("GET", "/fhir/$export")), len(server.served("Patient.a"))] == [1, 1]
    first, second = server.served("Patient.b")
    assert "Range" not in first.headers
    assert int(second.headers["Range"].removeprefix("bytes=").removesuffix("-")) > 1 << 20


def everything(terminal: int) -> bytes:
    """What is written to a terminal until its last writer ends."""
    shown = b""
    with os.fdopen(terminal, "rb", buffering=0) as file, suppress(OSError):  # EIO: there is nobody any more
        while more := file.read(1 << 16):
            shown += more
    return shown


async def test_a_terminal_shows_a_bar_for_each_type(server: BulkServer, tmp_path: Path) -> None:
    """By what the server says, and then by files."""
    server.add("Patient.a", 3)
    server.pages = [server.manifest("Patient.a")]
    server.polls = [
        web.Response(status=202, headers={"X-Progress": "Observation 41 % · 12,300 resources", "Retry-After": "1"})
    ]
    ours, theirs = pty.openpty()
    command = [str(Path(sys.executable).with_name("fhirstore")), "export", "--url", server.base, "--out", str(tmp_path)]
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=theirs, env=env)
    os.close(theirs)
    async with asyncio.timeout(_PATIENCE):
        shown, (out, _) = await asyncio.gather(asyncio.to_thread(everything, ours), process.communicate())
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert process.returncode == 0
    assert "Observation 41 % · 12,300 resources" in text
    assert re.search(r"\bObservation ━", text)
    assert b"complete" in out


MEASURED = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


async def test_memory_does_not_grow_with_the_files(server: BulkServer, tmp_path: Path) -> None:
    """The peak of a command that fetches 120 MB, compressed and not, is nearly that of one that fetches two lines."""
    fhirstore = str(Path(sys.executable).with_name("fhirstore"))
    peaks = []
    for n, lines in enumerate((1, 60_000)):
        line = ndjson("Patient", 1)
        body = (line[:-3] + b"z" * 930 + line[-3:]) * lines
        server.add("Patient.a", body)
        server.add("Patient.b", body, zipped=True)
        server.pages = [server.manifest("Patient.a", "Patient.b")]
        server.gone = False
        command = [fhirstore, "export", "--url", server.base, "--out", str(tmp_path / str(n))]
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", MEASURED, *command, stdout=PIPE)
        async with asyncio.timeout(_PATIENCE):
            out, _ = await process.communicate()
        code, peak = out.split()
        assert code == b"0"
        peaks.append(int(peak) / 1024)
    assert (tmp_path / "1" / "Patient.002.ndjson").stat().st_size > 60_000_000
    assert peaks[1] < peaks[0] + 25, peaks  # MB: pieces of one, buffers of the network, the threads' stacks
