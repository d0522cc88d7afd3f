"""What a connection is until its TLS handshake is done: then it becomes a `Connection`.

asyncio and uvloop make a handshake before they tell anybody of the connection, so that clients which never finish one
would hold file descriptors that nobody counts. Here it counts as a connection from the first moment: it has the time of
a first request, a limit of its own on all of the handshake, and gives way to a newcomer when there are too many.

A client that speaks plain HTTP, or no TLS that is allowed, is disconnected.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from contextlib import suppress
from typing import cast

from uvicorn import Config
from uvicorn.server import ServerState

from server.process.connection import Connection
from server.process.connections import Connections, Phase
from server.process.tls import Tls

HANDSHAKE = 10.0
"""Seconds that a handshake may take."""

_FAREWELL = 5.0  # seconds that the end of a TLS connection may take


class TlsDoor(asyncio.Protocol):
    """Makes the handshake of one connection, then hands it over. It is `Watched` until then.

    The app must put its `Tls` into the state of its lifespan, as "tls".
    """

    watched: tuple[Phase, int] = (Phase.NEW, 0)
    progress = 0
    since = 0.0
    requests = 0
    transport: asyncio.Transport

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._config = config
        self._server_state = server_state
        self._app_state = app_state
        self._loop = _loop or asyncio.get_running_loop()
        self._all = cast(Connections, app_state["connections"])
        self._task: asyncio.Task[None] | None = None
        self._early: list[bytes] = []  # what came with the end of the handshake

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._server_state.connections.add(self)  # type: ignore[arg-type] # as far as uvicorn needs it
        tls = cast(Tls, self._app_state["tls"])
        # Its first step puts it in our place at the transport. Not later: the first bytes may be here by then.
        handshake = _Begun(
            self._loop.start_tls(
                self.transport,
                self,
                tls.context,
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE,
                ssl_shutdown_timeout=_FAREWELL,
            )
        )
        self._task = self._loop.create_task(self._pass(handshake))
        self._all.opened(self)

    async def _pass(self, handshake: _Begun) -> None:
        try:
            secured = await handshake
        except (OSError, asyncio.CancelledError):  # SSLError and TimeoutError are OSErrors
            self.transport.abort()
            return
        finally:
            self._leave()
        if secured is None or secured.is_closing():
            return
        connection = Connection(
            config=self._config, server_state=self._server_state, app_state=self._app_state, _loop=self._loop
        )
        secured.set_protocol(connection)
        connection.connection_made(secured)
        for data in self._early:
            connection.data_received(data)

    def data_received(self, data: bytes) -> None:
        self._early.append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()

    def _leave(self) -> None:
        self._all.closed(self)
        self._server_state.connections.discard(self)

    def shutdown(self) -> None:
        """Ends it: the server ends."""
        self._end()

    # --- what `Connections` needs ------------------------------------------------------------------------------

    def state(self) -> tuple[Phase, int]:
        return Phase.NEW, 0

    def time_out(self, phase: Phase) -> None:
        self._end()

    def refuse(self, answer: bytes) -> None:
        """Disconnects: an answer could not be read before the handshake."""
        self._end()

    def _end(self) -> None:
        if self._task is not None:
            self._task.cancel()
        with suppress(OSError):
            self.transport.abort()


class _Begun:
    """A coroutine that has taken its first step already, to be awaited once."""

    def __init__(self, coroutine: Coroutine[object, object, asyncio.Transport | None]) -> None:
        self._coroutine = coroutine
        self._waits_for = coroutine.send(None)

    def __await__(self) -> Generator[object, object, asyncio.Transport | None]:
        waits_for = self._waits_for
        try:
            while True:
                try:
                    told = yield waits_for
                except BaseException as error:  # noqa: BLE001 - a cancellation, too: it is the coroutine's
                    waits_for = self._coroutine.throw(error)
                else:
                    waits_for = self._coroutine.send(told)
        except StopIteration as end:
            result: asyncio.Transport | None = end.value
            return result
