"""One connection of a server process: what it waits for, and how it ends.

A request's task belongs to its connection: when the client disconnects, the task is cancelled. A read stops then; a
write that has begun is finished by the library without its caller. A connection sets no timers: `Connections` looks at
the state of each once a second.
"""

from __future__ import annotations

import asyncio
import urllib.parse
from http import HTTPStatus

import httptools
from uvicorn._types import ASGI3Application, HTTPScope
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from server.http.in_flight import HOLDER, SMALL, InFlight, Share
from server.process.connections import Connections, Phase
from server.process.exchange import Exchange
from server.process.http_parser import BoundedHeadProtocol, closing_answer

_MOST_PIPELINED = 32  # requests that wait behind one; a client that sends more must send the rest again
_TIMEOUT = closing_answer(HTTPStatus.REQUEST_TIMEOUT, code="timeout", text="The request did not arrive in time")


class Connection(BoundedHeadProtocol):
    """Parses requests, runs the app on one after another, and cancels it when the client disconnects.

    It is the `server.http.in_flight.Holder` of the request under way.
    """

    share: Share | None = None
    watched: tuple[Phase, int] = (Phase.NEW, 0)  # phase and number of requests when `Connections` last looked
    progress = 0  # the progress it saw then
    since = 0.0  # loop time since when there was no more progress than that
    _arrived = 0  # bytes of bodies
    _drained = 0  # how often the write buffer became short again
    _requests = 0
    _running: Exchange | None = None
    _task: asyncio.Task[None] | None = None
    _undrained: tuple[Share, ...] = ()
    _all: Connections

    @property
    def in_flight(self) -> InFlight:
        return self._all.in_flight

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        super().connection_made(transport)
        self._all = self.app_state["connections"]
        self._all.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.closed(self)
        super().connection_lost(exc)
        self.abandon()
        self._release()

    def shutdown(self) -> None:
        """Closes the connection after the answer under way, or at once where there is none: the server ends."""
        self._all.end_soon()
        if self._running is None:
            self.transport.close()
        else:
            self._running.keep_alive = False

    # --- requests -------------------------------------------------------------------------------------------

    def on_headers_complete(self) -> None:
        self.head_is_complete()
        parser, scope = self.parser, self.scope
        self._describe(scope)
        exchange = self.cycle = Exchange(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=parser.should_keep_alive()
            and scope["http_version"] != "1.0"
            and not (self.deaf or self._all.closing),
            on_response=self.on_response_complete,
        )
        self._requests += 1
        if self._running is None:
            self._start_asgi_task(exchange, self.app)
            return
        self.flow.pause_reading()
        self.pipeline.appendleft((exchange, self.app))
        if len(self.pipeline) >= _MOST_PIPELINED:
            exchange.keep_alive = False
            self.deaf = True

    def _describe(self, scope: HTTPScope) -> None:
        parser = self.parser
        version = parser.get_http_version()
        if version != "1.1":
            scope["http_version"] = version
        method = scope["method"] = parser.get_method().decode("ascii")
        # CONNECT may name a host and port instead, and `http://example.org` has no path (RFC 9112, 3.2).
        url = httptools.parse_url(self.url if method != "CONNECT" or self.url.startswith(b"/") else b"/")
        if url.host and method != "CONNECT":
            self._take_host(url.host, url.port)
        raw_path = scope["raw_path"] = url.path or b"/"
        path = raw_path.decode("ascii")
        scope["path"] = urllib.parse.unquote(path) if "%" in path else path
        scope["query_string"] = url.query or b""
        scope[HOLDER] = self  # type: ignore[literal-required] # not ASGI's but the app's

    def _take_host(self, host: bytes, port: int | None) -> None:
        """Puts the host of an absolute URL in the place of Host, which counts for nothing then (RFC 9112, 3.2.2).

        A request without Host, or with several, is left as it is, and refused for that.
        """
        places = [place for place, (name, _) in enumerate(self.headers) if name == b"host"]
        if len(places) == 1:
            name_ = b"[%s]" % host if b":" in host else host
            self.headers[places[0]] = (b"host", name_ if port is None else b"%s:%d" % (name_, port))

    def on_body(self, body: bytes) -> None:
        self.kept = 0
        self._arrived += len(body)
        exchange = self.cycle
        if exchange.response_complete:
            return
        exchange.body += body
        if len(exchange.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        exchange.message_event.set()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        assert isinstance(cycle, Exchange)  # noqa: S101 - this class makes no other
        self._running = cycle
        task = self._task = self.loop.create_task(cycle.run_asgi(app))
        self.tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if task is self._task:
            self._task = self._running = None
            self._settle()

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        self._running = None
        self._settle()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())

    def abandon(self) -> None:
        running = self._running
        if running is not None:
            running.disconnected = True
            running.message_event.set()
            if self._task is not None:
                self._task.cancel()

    # --- endings --------------------------------------------------------------------------------------------

    def may_refuse(self) -> bool:
        if self._running is None:
            return self.in_head or not self.in_message  # otherwise it is in the body of a request that is answered
        return (
            self._running is self.cycle and self.in_message and not self.in_head and not self._running.response_started
        )

    def end_after_answer(self) -> None:
        self.deaf = True
        if self._running is None:
            self.transport.close()
        else:
            self._running.keep_alive = False

    def time_out(self, phase: Phase) -> None:
        """Ends the connection, which made no progress in this phase for longer than it may."""
        if phase is Phase.READER or self.deaf:
            self.transport.abort()
        elif phase in (Phase.HEAD, Phase.BODY):
            self.refuse(_TIMEOUT)
        else:
            self.transport.close()

    # --- what others see ------------------------------------------------------------------------------------

    @property
    def requests(self) -> int:
        """How many requests have begun."""
        return self._requests

    def state(self) -> tuple[Phase, int]:
        """Returns what it waits for, and a number that grows with the bytes that arrive or leave in that phase."""
        unsent = self.transport.get_write_buffer_size()
        if unsent:
            return Phase.READER, (self._drained << 40) - unsent
        if self._running is not None:
            return (Phase.BODY, self._arrived) if self._running.awaits_body else (Phase.APP, 0)
        if self.dropped is not None:
            return Phase.APP, 0
        if self.in_message:
            return (Phase.HEAD, 0) if self.in_head else (Phase.BODY, self._arrived)
        return Phase.IDLE if self._requests else Phase.NEW, 0

    def resume_writing(self) -> None:
        self._drained += 1
        super().resume_writing()
        self._release()

    def _settle(self) -> None:
        """The request under way is over: its share of the bytes in flight is released when its answer has left."""
        share, self.share = self.share, None
        if share is None:
            return
        self._undrained += (share,)
        if self.transport.is_closing() or self.transport.get_write_buffer_size() <= SMALL:
            self._release()

    def _release(self) -> None:
        undrained, self._undrained = self._undrained, ()
        for share in undrained:
            share.end()
