"""Answers `GET /metrics` at an address of its own, beside the FHIR API: whoever may use the API need not see it.

It runs in a thread, so that it answers while the event loop is busy; that is what its metrics tell.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from server.observing.exposition import written
from server.observing.snapshot import Snapshot

_PATIENCE = 5.0  # seconds that a client has for its request and for reading the answer
_AT_ONCE = 8  # clients; one more is closed

Read = Callable[[], Snapshot]


class MetricsListener:
    """Serves the metrics that `read` returns until `close`. Raises OSError where the address is taken."""

    def __init__(self, address: tuple[str, int], read: Read) -> None:
        self._server = _Server(address, read)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="fhirstore-metrics", daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it answers."""
        host, port = self._server.server_address[:2]
        name = str(host)
        return f"http://{f'[{name}]' if ':' in name else name}:{port}/metrics"

    def close(self) -> None:
        """Ends it; answers under way are cut off."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(_PATIENCE)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], read: Read) -> None:
        self.read = read
        self._room = threading.BoundedSemaphore(_AT_ONCE)
        self._until: dict[socket.socket, float] = {}  # when each client's time is over
        self.address_family = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0][0]
        super().__init__(address, _Handler)

    def process_request(self, request: object, client_address: object) -> None:
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)  # type: ignore[arg-type] # as socketserver calls this
            return
        assert isinstance(request, socket.socket)  # noqa: S101 - it is a TCP server
        self._until[request] = time.monotonic() + _PATIENCE
        super().process_request(request, client_address)

    def process_request_thread(self, request: object, client_address: object) -> None:
        try:
            super().process_request_thread(request, client_address)  # type: ignore[arg-type]
        finally:
            self._until.pop(request, None)  # type: ignore[call-overload]
            self._room.release()

    def service_actions(self) -> None:
        """Ends what takes too long, ten times a second: the timeout of a socket is that of one piece only."""
        now = time.monotonic()
        for request, until in list(self._until.items()):
            if now > until:
                with suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """A scraper that went away is none."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _PATIENCE
    server_version = "fhirstore"
    sys_version = ""

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        status, content_type, body = 404, "text/plain; charset=utf-8", b"Only /metrics is here\n"
        if self.path.split("?", 1)[0] == "/metrics":
            content_type, body = written(self.server.read(), self.headers.get("Accept", ""))
            status = 200
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Scrapes leave no line."""
