"""Splits a stream of chunks into lines, and lines into segments: bounded in memory whatever comes.

A line that is longer than the limit is not kept: an empty line stands for it, and its number is reported.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits of a segment and of a line: `lines`, `size` (bytes, exceeded by the last line), `line` (bytes)."""

    lines: int = 1_000
    size: int = 4 * 1024 * 1024
    line: int = 16 * 1024 * 1024


@dataclass(slots=True)
class Segment:
    """Consecutive lines of a file. `first`: the number of the first, from 1. `start`, `end`: bytes in the content.

    `body`: the lines, each with its newline. `too_long`: numbers of the lines that an empty line stands for.
    `last`: the file ends here.
    """

    first: int
    start: int
    end: int
    count: int = 0
    too_long: list[int] = field(default_factory=list)
    last: bool = False
    body: bytes = field(default=b"", repr=False)

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Yields number and content of the lines that are not blank."""
        return numbered(self.body, self.first)


def numbered(body: bytes, first: int) -> Iterator[tuple[int, bytes]]:
    """Yields number and content of the lines of a segment that are not blank; `first`: the number of the first."""
    for number, line in enumerate(body.split(b"\n"), first):
        if line and not line.isspace():
            yield number, line


async def segments(
    chunks: AsyncIterator[bytes], bounds: Bounds, *, first: int = 1, start: int = 0
) -> AsyncGenerator[Segment]:
    """Yields the segments of a file, or of its rest from byte `start` on, whose first line has the number `first`.

    The last one has `last` set, and may be empty. Holds one segment and one chunk.
    """
    filling = _Filling(bounds, first, start)
    async for chunk in chunks:
        for full in filling.take(chunk):
            yield full
    yield filling.end()


class _Filling:
    """The segment that is being filled, and the line that is not complete yet."""

    def __init__(self, bounds: Bounds, first: int, start: int) -> None:
        self._bounds = bounds
        self._segment = Segment(first, start, start)
        self._lines: list[bytes] = []
        self._size = 0
        self._begun: list[bytes] = []  # of the line that is not complete yet
        self._length = 0  # of that line, also of what is not kept of it

    def take(self, chunk: bytes) -> Iterator[Segment]:
        """Adds a chunk. Yields the segments that are full."""
        at = 0
        while (newline := chunk.find(b"\n", at)) >= 0:
            self._add(chunk[at : newline + 1])
            self._complete(newline=1)
            at = newline + 1
            if self._segment.count >= self._bounds.lines or self._size >= self._bounds.size:
                yield self._full()
        if at < len(chunk):
            self._add(chunk[at:])

    def end(self) -> Segment:
        """Ends the last line, which may lack its newline. Returns the last segment."""
        if self._length:
            self._complete(newline=0)
        full = self._full()
        full.last = True
        return full

    def _add(self, part: bytes) -> None:
        self._length += len(part)
        if self._length <= self._bounds.line + 1:
            self._begun.append(part)
        else:
            self._begun.clear()

    def _complete(self, *, newline: int) -> None:
        segment = self._segment
        line = b"".join(self._begun)
        if self._length - newline > self._bounds.line:
            segment.too_long.append(segment.first + segment.count)
            line = b"\n"
        self._lines.append(line if line.endswith(b"\n") else line + b"\n")
        segment.count += 1
        segment.end += self._length
        self._size += len(line)
        self._begun, self._length = [], 0

    def _full(self) -> Segment:
        full = self._segment
        full.body = b"".join(self._lines)
        self._segment = Segment(full.first + full.count, full.end, full.end)
        self._lines, self._size = [], 0
        return full
