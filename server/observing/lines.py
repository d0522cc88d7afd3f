"""Writes lines to a file descriptor from a thread, so that a reader that is slow or gone delays no request.

Lines are handed over ten times a second. Where more wait than may, new ones are dropped and counted. Each write has
whole lines only, and at most as many bytes as a pipe takes at once: so lines of several processes do not mix.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading

_EVERY = 0.1  # seconds
_MOST = 8 * 1024 * 1024  # bytes that wait
_PIECE = 4096  # bytes, PIPE_BUF of Linux
_ENDS_IN = 1.0  # seconds


class LineWriter:
    """Used in an event loop. The caller must call `close`."""

    def __init__(self, descriptor: int) -> None:
        self._dropped = 0  # before they were handed over
        self._failed = 0  # while they were written
        self._descriptor = descriptor
        self._lines: list[bytes] = []
        self._in = 0  # bytes handed over; only the event loop changes it
        self._out = 0  # bytes written or lost; only the thread changes it
        self._timer: asyncio.TimerHandle | None = None
        self._handed: queue.SimpleQueue[list[bytes] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_all, name="fhirstore-lines", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Lines that nobody took in time, or that could not be written."""
        return self._dropped + self._failed

    def add(self, line: str) -> None:
        """Adds a line, given without its end. It must not hold any other line end."""
        if self._in - self._out > _MOST:
            self._dropped += 1
            return
        self._lines.append(f"{line}\n".encode())
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_EVERY, self._hand_over)

    def close(self) -> None:
        """Writes what waits, for a second at most."""
        if self._timer is not None:
            self._timer.cancel()
        self._hand_over()
        self._handed.put(None)
        self._thread.join(_ENDS_IN)

    def _hand_over(self) -> None:
        self._timer = None
        if self._lines:
            self._in += sum(map(len, self._lines))
            self._handed.put(self._lines)
            self._lines = []

    def _write_all(self) -> None:
        while (lines := self._handed.get()) is not None:
            for piece in _pieces(lines):
                try:
                    _write(self._descriptor, piece)
                except OSError:
                    self._failed += piece.count(b"\n")
            self._out += sum(map(len, lines))


def _pieces(lines: list[bytes]) -> list[bytes]:
    """Returns the lines joined to pieces that are written at once."""
    pieces: list[bytes] = []
    some: list[bytes] = []
    size = 0
    for line in lines:
        if some and size + len(line) > _PIECE:
            pieces.append(b"".join(some))
            some, size = [], 0
        some.append(line)
        size += len(line)
    if some:
        pieces.append(b"".join(some))
    return pieces


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
