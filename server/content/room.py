"""The room that an upload takes among the bytes in flight: what has arrived of it and is not at the store yet.

A slow client holds little, so it takes little: many of them leave room for others. From 1 MiB on an upload has room for
a part; then it can go on, whatever the others do. More parts at once are sent where there is room for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from server.http.in_flight import SMALL, Crowded, Share

_STEP = 64 * 1024  # bytes by which the room grows at first
_SLOW = 1024 * 1024  # bytes up to which it grows so
_PART = 8 * 1024 * 1024  # bytes by which it grows later
_FIRST = _PART + 4 * 1024 * 1024  # bytes: a part, and what a store has of the next one before it tells of the first
_PATIENCE = 15.0  # seconds that it waits for the store to take a part


class Room:
    """The room of one upload."""

    def __init__(self, share: Share, most: int, *, first: int = _FIRST) -> None:
        """`most`: bytes that it takes at most. `first`: bytes that it has for certain once it has more than 1 MiB."""
        self._share = share
        self._most = min(most, share.limit)
        self._first = min(first, self._most)
        self._arrived = self._sent = self._taken = 0
        self._moved = asyncio.Event()

    async def taken(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yields the pieces, each when there is room for it. Raises Crowded after some seconds without."""
        async for piece in pieces:
            self._arrived += len(piece)
            if self._wanted() > self._taken:
                await self._grow()
            yield piece

    def sent(self, size: int) -> None:
        """The store has `size` bytes by now."""
        self._sent = size
        spare = self._taken - max(self._wanted(), self._first)
        if spare > 0:
            self._taken -= spare
            self._share.give(spare)
        self._moved.set()

    def end(self) -> None:
        """Gives everything back."""
        self._share.give(self._taken)
        self._taken = 0

    async def _grow(self) -> None:
        if self._taken < self._first:
            more = min(self._wanted(), self._first) - self._taken
            await self._share.wait_and_take(more)
            self._taken += more
        while (more := self._wanted() - self._taken) > 0:
            try:
                self._share.expect(more)
            except Crowded:
                await self._store()
            else:
                self._share.owe(more)
                self._taken += more

    async def _store(self) -> None:
        """Waits until the store has more. Raises Crowded."""
        self._moved.clear()
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._moved.wait()
        except TimeoutError:
            raise Crowded from None

    def _wanted(self) -> int:
        """Returns the bytes of room for what has arrived and is not sent."""
        held = self._arrived - self._sent
        if held <= SMALL:
            return 0
        if held <= _SLOW:
            return min(-(-held // _STEP) * _STEP, self._most)
        return min(self._first + max(0, -(-(held - self._first) // _PART)) * _PART, self._most)
