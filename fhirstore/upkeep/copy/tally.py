"""What a copy has done so far, and the bounds of what it holds at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CopyProgress:
    """How far a copy is. `phase`: copying, following, waiting, verifying. `total`: resources to come to in this phase;
    None while it is not known. `bytes_read`, `bytes_written`: bodies, of the source and the target."""

    phase: str
    resources: int
    total: int | None
    versions: int
    bytes_read: int
    bytes_written: int


@dataclass(slots=True)
class Tally:
    """Counts while a copy runs. `show`: told after each resource. `upto`: the newest time that was copied, epoch ms;
    `newest`: the key of the newest event, below the tenant's prefix."""

    show: Callable[[CopyProgress], None]
    phase: str = "copying"
    resources: int = 0
    total: int | None = None
    versions: int = 0
    objects: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    upto: int = 0
    newest: str = ""

    def read(self, size: int) -> None:
        """A body of this size was read from the source."""
        self.bytes_read += size

    def wrote(self, size: int, *, objects: int = 1) -> None:
        """An object of this size was written."""
        self.objects += objects
        self.bytes_written += size

    def begin(self, phase: str, total: int | None = None) -> None:
        """Another phase begins, which counts its resources anew."""
        self.phase, self.resources, self.total = phase, 0, total
        self.tell()

    def looked_at(self) -> None:
        """A resource is done."""
        self.resources += 1
        self.tell()

    def tell(self) -> None:
        """Show how far the copy is."""
        self.show(
            CopyProgress(self.phase, self.resources, self.total, self.versions, self.bytes_read, self.bytes_written)
        )


class Room:
    """A number of bytes that tasks share: who needs more than is left waits. More than there is waits for all of it."""

    def __init__(self, size: int) -> None:
        self._size = self._left = size
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def hold(self, size: int) -> AsyncIterator[None]:
        """Holds `size` bytes for the length of the block."""
        size = min(size, self._size)
        async with self._changed:
            await self._changed.wait_for(lambda: self._left >= size)
            self._left -= size
        try:
            yield
        finally:
            async with self._changed:
                self._left += size
                self._changed.notify_all()
