"""`fhirstore load` as a process: it says how far it is without a terminal, and what it did when it is told to end."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from server.commands.interruption import Interruption
from server.commands.load import LoadSummary, load

pytestmark = pytest.mark.kill

_PATIENCE = 60.0  # seconds for a process on a busy machine


@dataclass
class Server:
    """A FHIR server of sorts: answers `before` requests at once and the rest when `gate` opens."""

    before: int
    url: str = ""
    got: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: Request) -> Response:
        await request.body()
        if request.url.path == "/fhir/metadata":
            return JSONResponse({"resourceType": "CapabilityStatement"})
        self.got.append(request.url.path)
        if len(self.got) > self.before:
            await self.gate.wait()
        return Response(status_code=201)

    async def has(self, count: int) -> None:
        """Return once so many requests have come."""
        async with asyncio.timeout(_PATIENCE):
            while len(self.got) < count:  # noqa: ASYNC110 - the server is told of nothing else
                await asyncio.sleep(0.02)


@asynccontextmanager
async def running(before: int) -> AsyncIterator[Server]:
    server = Server(before)
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    server.url = f"http://127.0.0.1:{listening.getsockname()[1]}/fhir"
    app = Starlette(routes=[Route("/{path:path}", server.answer, methods=["GET", "PUT", "POST"])])
    config = uvicorn.Config(app, log_level="error", lifespan="off", ws="none", timeout_graceful_shutdown=1)
    process = uvicorn.Server(config)
    serving = asyncio.create_task(process.serve(sockets=[listening]))
    try:
        yield server
    finally:
        server.gate.set()
        process.should_exit = True
        await serving


@asynccontextmanager
async def loading(server: Server, *arguments: str | Path) -> AsyncIterator[Process]:
    command = [str(Path(sys.executable).with_name("fhirstore")), "load", *map(str, arguments), "--url", server.url]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def ndjson(path: Path, count: int) -> Path:
    path.write_text("".join(f'{{"resourceType":"Patient","id":"{n}"}}\n' for n in range(1, count + 1)))
    return path


async def test_progress_is_told_without_a_terminal_also_while_nothing_moves(tmp_path: Path) -> None:
    """Lines on stderr: of how much, how many stored and failed, how fast; a server that stalls shows as a rate of 0."""
    path = ndjson(tmp_path / "p.ndjson", 40)
    async with (
        running(30) as server,
        loading(server, path, "--concurrency", "4", "--progress-every", "0.2", "--json") as process,
    ):
        assert process.stderr and process.stdout
        async with asyncio.timeout(_PATIENCE):
            while "30 stored, 0 failed, 0 resources/s" not in (line := (await process.stderr.readline()).decode()):
                assert line.startswith("fhirstore: ")
            server.gate.set()
            out, _ = await process.communicate()
        assert (process.returncode, json.loads(out)["created"]) == (0, 40)


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.kill
async def test_an_interrupted_load_waits_for_answers_and_says_what_was_sent(
    tmp_path: Path, sign: signal.Signals, code: int
) -> None:
    """Nothing more is sent; what is under way is counted by its answer; the last one sent is named."""
    path = ndjson(tmp_path / "p.ndjson", 500)
    async with running(20) as server, loading(server, path, "--concurrency", "4", "--json") as process:
        await server.has(24)  # four wait at the gate
        process.send_signal(sign)
        await asyncio.sleep(0.2)
        server.gate.set()
        async with asyncio.timeout(_PATIENCE):
            out, err = await process.communicate()
    told = json.loads(out)
    assert process.returncode == code
    assert (told["created"], told["unknown"], told["failed"]) == (24, 0, 0)
    assert (told["stopped"], told["last_sent"]) == (f"interrupted by {sign.name}", f"{path}:24")
    assert (len(server.got), told["bytes_read"] < told["bytes_of_files"]) == (24, True)
    assert b"Traceback" not in err


@pytest.mark.kill
async def test_a_second_signal_gives_up_the_answers_which_are_then_unknown(tmp_path: Path) -> None:
    """The summary still comes, and says how to go on."""
    path = ndjson(tmp_path / "p.ndjson", 500)
    async with running(20) as server, loading(server, path, "--concurrency", "4") as process:
        await server.has(24)
        process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(_PATIENCE):
            out, err = await process.communicate()
    text = " ".join(out.decode().split())
    assert (process.returncode, err) == (143, b"")
    assert "Patient 20 4" in text
    assert "4 times: Interrupted before the answer came" in text
    assert f"Stopped: interrupted by SIGTERM The last one sent is {path}:24;" in text
    assert "run the command again" in text


@pytest.mark.kill
async def test_answers_are_waited_for_no_longer_than_the_grace(tmp_path: Path) -> None:
    """One signal ends a load although the server never answers again."""
    async with running(2) as server:
        interruption = Interruption(grace=0.1)
        loaded = asyncio.create_task(_load(ndjson(tmp_path / "p.ndjson", 9), server, interruption))
        await server.has(6)
        interruption.arrive(signal.SIGTERM)
        async with asyncio.timeout(_PATIENCE):
            summary = await loaded
        assert (summary.stored, summary.count("unknown"), len(server.got)) == (2, 4, 6)
        assert (summary.stopped, summary.ok) == ("interrupted by SIGTERM", False)


async def _load(path: Path, server: Server, interruption: Interruption) -> LoadSummary:
    return await load([path], server.url, concurrency=4, interruption=interruption)


@pytest.mark.kill
async def test_a_bundle_that_was_given_up_is_unknown_entry_by_entry(tmp_path: Path) -> None:
    """It may stand or not, as a whole."""
    entry = {"resource": {"resourceType": "Patient"}, "request": {"method": "POST", "url": "Patient"}}
    path = tmp_path / "b.json"
    path.write_text(json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": [entry] * 3}))
    async with running(0) as server, loading(server, path, "--json") as process:
        await server.has(1)
        for _ in range(2):
            process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.2)
        async with asyncio.timeout(_PATIENCE):
            out, _ = await process.communicate()
    told = json.loads(out)
    assert (process.returncode, told["unknown"], told["created"], told["last_sent"]) == (143, 3, 0, str(path))


@pytest.mark.kill
async def test_a_load_that_is_interrupted_before_it_sends_ends_at_once(tmp_path: Path) -> None:
    """A server that accepts and never answers: one signal is enough, and the summary says that nothing was sent."""
    path = ndjson(tmp_path / "p.ndjson", 5)
    asked = asyncio.Event()

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(never, "127.0.0.1", 0)
    server = Server(0, url=f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}/fhir")
    async with silent, loading(server, path) as process:
        async with asyncio.timeout(_PATIENCE):
            await asked.wait()
            process.send_signal(signal.SIGINT)
            out, err = await process.communicate()
        assert (process.returncode, err) == (130, b"")
        assert "Nothing was sent." in out.decode()


async def test_a_tenant_that_is_no_header_is_refused(tmp_path: Path) -> None:
    """In one line, before anything is sent."""
    async with running(0) as server, loading(server, ndjson(tmp_path / "p.ndjson", 1), "--tenant", "a\nb") as process:
        _, err = await process.communicate()
        assert (process.returncode, err.count(b"\n"), server.got) == (2, 1, [])
