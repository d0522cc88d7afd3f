"""The real app behind the real HTTP server, in this process: on a store that a test holds, with raw sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from socket import SO_SNDBUF, SOL_SOCKET

import uvicorn
from starlette.types import Receive, Scope, Send

from fhirstore import FhirStore
from fhirstore.objects.base import Condition, ObjectStore, StoredObject, Written
from fhirstore.objects.facts import Facts
from fhirstore.objects.memory import MemoryStore
from fhirstore.tenancy import PrefixTenancy
from server.app import create_app
from server.process.connections import Connections
from server.process.deployment import connections_for
from server.process.http_server import http_config
from server.process.listening import bound
from server.settings import Settings

_PATIENCE = 30.0  # seconds


class HeldStore(MemoryStore):
    """Answers no GET and no PUT while it is held; with `writes_only`, no PUT.

    `begun`: those that have come; `cancelled`: and were given up.

    `held_at`: from that one on it is held, until `free` is set.
    """

    def __init__(self, *, writes_only: bool = False) -> None:
        super().__init__()
        self._writes_only = writes_only
        self.free = asyncio.Event()
        self.free.set()
        self.begun = 0
        self.cancelled = 0
        self.held_at: int | None = None

    async def _wait(self) -> None:
        self.begun += 1
        if self.begun == self.held_at:
            self.free.clear()
        try:
            await self.free.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def get(self, key: str) -> StoredObject:
        if not self._writes_only:
            await self._wait()
        return await super().get(key)

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        condition: Condition | None = None,
        expires: int | None = None,
        facts: Facts | None = None,
    ) -> Written:
        await self._wait()
        return await super().put(key, body, condition=condition, expires=expires, facts=facts)


@dataclass(frozen=True, slots=True)
class Listening:
    """A server at `port`, its store, and what it knows of its connections."""

    port: int
    store: FhirStore
    connections: Connections

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(self, request: bytes) -> bytes:
        """Everything that comes back on a new connection, until it ends."""
        reader, writer = await self.connect()
        writer.write(request)
        async with asyncio.timeout(_PATIENCE):
            answer = await reader.read()
        writer.close()
        return answer


@asynccontextmanager
async def listening(
    objects: ObjectStore, settings: Settings | None = None, *, send_buffer: int | None = None
) -> AsyncIterator[Listening]:
    """Serve `objects`. `send_buffer`: bytes that the operating system takes of an answer that nobody reads; None: it
    decides, by what it learnt of earlier connections, and may take megabytes."""
    settings = settings or Settings()
    store = FhirStore(PrefixTenancy(objects, settings.tenants), inline_bytes=settings.inline_bytes)
    app = create_app(store, settings)
    connections = connections_for(settings)

    async def with_lifespan(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        await receive()
        scope["state"]["connections"] = connections
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    socket = bound("127.0.0.1", 0)
    if send_buffer is not None:
        socket.setsockopt(SOL_SOCKET, SO_SNDBUF, send_buffer)  # each connection has that of its listener
    server = uvicorn.Server(http_config(with_lifespan))
    serving = asyncio.create_task(server.serve(sockets=[socket]))
    await until(lambda: server.started)
    try:
        yield Listening(socket.getsockname()[1], store, connections)
    finally:
        for connection in tuple(server.server_state.connections):
            connection.transport.abort()
        server.should_exit = True
        await serving
        await store.settle()


async def until(condition: Callable[[], bool]) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(_PATIENCE):
        while not condition():  # noqa: ASYNC110 - what it waits for sets no event
            await asyncio.sleep(0.01)
