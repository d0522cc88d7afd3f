"""An HTTP server that answers what a test tells it to: for S3 failures that no real server shows on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import formatdate


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came in."""

    method: str
    target: str
    headers: dict[str, str]  # names in lower case
    body: bytes


@dataclass(frozen=True, slots=True)
class Told:
    """An answer. `cut`: close the connection after so many bytes of the body; `silent`: never answer; `held`: answer
    when that is set."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    silent: bool = False
    held: asyncio.Event | None = None


def error(status: int, code: str, message: str = "m") -> Told:
    """S3's error document."""
    return Told(status, f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode())


HANG_UP = Told(status=0, cut=0)  # reads the request, then breaks the connection


@dataclass(slots=True)
class ScriptedServer:
    """Set `answer`; read `asked`."""

    url: str = ""
    answer: Callable[[Asked], Told] = field(default=lambda _: Told())
    asked: list[Asked] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _server: asyncio.Server | None = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        try:
            while await self._serve_one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        method, target, _ = first.split(" ")
        asked = Asked(method, target, headers, await reader.readexactly(int(headers.get("content-length", 0))))
        self.asked.append(asked)
        told = self.answer(asked)
        if told.silent:
            await asyncio.Event().wait()
        if told.held is not None:
            await told.held.wait()
        if told.status == 0:
            return False
        defaults = {"Date": formatdate(usegmt=True), "Last-Modified": formatdate(usegmt=True), "ETag": '"abc"'}
        headers = {**defaults, "Content-Length": str(len(told.body)), **told.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        body = b"" if method == "HEAD" else told.body[: told.cut]
        writer.write(f"HTTP/1.1 {told.status} Scripted\r\n{head}\r\n".encode() + body)
        await writer.drain()
        return told.cut is None

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator[ScriptedServer]:
        """Listening on a free port of 127.0.0.1 until the block ends."""
        scripted = cls()
        scripted._server = await asyncio.start_server(scripted._serve, "127.0.0.1", 0)
        scripted.url = f"http://127.0.0.1:{scripted._server.sockets[0].getsockname()[1]}"
        try:
            yield scripted
        finally:
            await scripted.stop()

    async def stop(self) -> None:
        """Close every connection and refuse new ones."""
        if self._server:
            self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
