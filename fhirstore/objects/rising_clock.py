"""The store's clock where this machine is the store: the machine's, but it never goes back.

What readers were told happened until some time must stay so: a write that gets an earlier time is never seen by
whoever asks for what is new since. So where the machine's clock is set back, the store's goes on in real pace from the
highest time it showed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, MutableSequence
from typing import TypeAlias

from fhirstore.clock import Clock

_MS = 1_000_000  # nanoseconds
_NEVER = -(2**62)

Nanoseconds = Callable[[], int]
Cells: TypeAlias = "MutableSequence[int] | memoryview[int]"


class RisingClock:
    """A clock that never goes back. With a `clock` passed in, it stands still while that one is behind."""

    def __init__(self, clock: Clock | None = None, *, cells: Cells | None = None) -> None:
        """`cells`: two numbers, ns, of which all who share them have one clock: the highest time shown, and what it
        was ahead of the monotonic clock when the machine's clock was found to be set back."""
        self._cells: Cells = [_NEVER, _NEVER] if cells is None else cells
        self._wall: Nanoseconds
        self._pace: Nanoseconds
        if clock is None:
            self._wall, self._pace = time.time_ns, time.monotonic_ns
        else:
            self._wall, self._pace = lambda: clock.now() * _MS, lambda: 0

    def now(self) -> int:
        """Epoch milliseconds."""
        wall = self._wall()
        cells = self._cells
        if wall < cells[0]:
            wall = self._go_on(cells[0])
        cells[0] = wall
        return wall // _MS

    def reach(self, high: int) -> None:
        """Show `high` (epoch ms) or later from now on."""
        self._cells[0] = max(self._cells[0], high * _MS)

    def restart(self) -> None:
        """Forget what it showed."""
        self._cells[0] = self._cells[1] = _NEVER

    def _go_on(self, high: int) -> int:
        """The time that comes after `high` while the machine's clock is behind it."""
        pace = self._pace()
        if pace + self._cells[1] < high:  # just set back, or once more
            self._cells[1] = high - pace
        return pace + self._cells[1]
