"""A ticking task in a process of its own: asks for `/health/live` again and again, and keeps the longest wait.

As a program (`python -m conformance.abuse.ticking HOST PORT`) it ticks until its input ends. A line `begin` starts a
window; `end` writes one line of JSON about it. A wait lasts from the request to its answer; while the server refuses or
resets, the wait goes on until a tick is answered again.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

INTERVAL = 0.005  # seconds between an answer and the next tick
_PATIENCE = 60.0  # seconds for one answer
_GRACE = 2 * _PATIENCE + 10


class TickerFailed(Exception):
    """The ticking process ended or never answered."""


@dataclass(frozen=True, slots=True)
class Window:
    """What was seen in one window. `longest`: seconds; `ticks`: answers; `failures`: ticks without one."""

    longest: float
    ticks: int
    failures: int


@dataclass(slots=True)
class Ticker:
    """The process, seen from outside."""

    host: str
    port: int
    _child: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        command = [sys.executable, "-m", "conformance.abuse.ticking", self.host, str(self.port)]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def begin(self) -> None:
        """Start a window. Raises TickerFailed."""
        self._say("begin")

    def end(self) -> Window:
        """End the window, once the tick under way has its answer. Raises TickerFailed."""
        self._say("end")
        assert self._child.stdout is not None  # noqa: S101 - it was made with a pipe
        ready, _, _ = select.select([self._child.stdout], [], [], _GRACE)
        line = self._child.stdout.readline() if ready else ""
        if not line:
            raise TickerFailed("the ticking process gave no answer")
        return Window(**json.loads(line))

    def stop(self) -> None:
        """End the process."""
        self._child.kill()
        self._child.wait()

    def _say(self, word: str) -> None:
        assert self._child.stdin is not None  # noqa: S101 - it was made with a pipe
        try:
            self._child.stdin.write(f"{word}\n")
            self._child.stdin.flush()
        except OSError as error:
            raise TickerFailed("the ticking process ended") from error


@contextmanager
def ticker(host: str, port: int) -> Iterator[Ticker]:
    """A ticking process for the length of the block."""
    ticking = Ticker(host, port)
    try:
        yield ticking
    finally:
        ticking.stop()


# --- inside the process -------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Ticks:
    """Ticks on one connection that is kept, and made anew when it breaks."""

    host: str
    port: int
    longest: float = 0.0
    ticks: int = 0
    failures: int = 0
    _waiting_since: float | None = None
    _socket: socket.socket | None = None

    def clear(self) -> None:
        self.longest, self.ticks, self.failures, self._waiting_since = 0.0, 0, 0, None

    def tick(self) -> None:
        began = time.monotonic() if self._waiting_since is None else self._waiting_since
        self._waiting_since = began
        try:
            self._ask()
        except OSError:
            self.failures += 1
            self._close()
        else:
            self.ticks += 1
            self._waiting_since = None
        self.longest = max(self.longest, time.monotonic() - began)

    def _ask(self) -> None:
        if self._socket is None:
            self._socket = socket.create_connection((self.host, self.port), timeout=_PATIENCE)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(f"GET /health/live HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._receive()
        head, _, body = answer.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
        while len(body) < length:
            body += self._receive()
        if not head.startswith(b"HTTP/1.1 200"):
            raise ConnectionError("not alive")

    def _receive(self) -> bytes:
        assert self._socket is not None  # noqa: S101 - it was made before
        data = self._socket.recv(65_536)
        if not data:
            raise ConnectionError("closed")
        return data

    def _close(self) -> None:
        if self._socket is not None:
            with suppress(OSError):
                self._socket.close()
        self._socket = None


def _main(host: str, port: int) -> None:
    ticks = _Ticks(host, port)
    unread = b""
    while True:
        ready, _, _ = select.select([sys.stdin], [], [], INTERVAL)
        if ready:
            # Past the buffer of sys.stdin: a second line would wait there, and `select` does not tell of it.
            came = os.read(sys.stdin.fileno(), 4096)
            if not came:
                return
            *lines, unread = (unread + came).split(b"\n")
            for line in lines:
                if line == b"begin":
                    ticks.clear()
                else:
                    said = {"longest": ticks.longest, "ticks": ticks.ticks, "failures": ticks.failures}
                    print(json.dumps(said), flush=True)
        ticks.tick()


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]))
