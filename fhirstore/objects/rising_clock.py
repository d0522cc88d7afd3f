"""The clock of a store on this machine: the machine's clock, but it never goes back.

A client that polls for changes since some time never sees a write that gets an earlier time. So when the machine's
clock is set back, the store's clock goes on from the highest time that it showed, in real pace.
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
        """`cells`: two numbers in nanoseconds; all clocks that share them are one clock. The first is the highest time
        shown, the second its distance to the monotonic clock when the machine's clock was found to be set back.
        """
        self._cells: Cells = [_NEVER, _NEVER] if cells is None else cells
        self._wall: Nanoseconds
        self._pace: Nanoseconds
        if clock is None:
            self._wall, self._pace = time.time_ns, time.monotonic_ns
        else:
            self._wall, self._pace = lambda: clock.now() * _MS, lambda: 0

    def now(self) -> int:
        """Returns the time, epoch milliseconds."""
        wall = self._wall()
        cells = self._cells
        if wall < cells[0]:
            wall = self._go_on(cells[0])
        cells[0] = wall
        return wall // _MS

    def reach(self, high: int) -> None:
        """Show `high` (epoch ms) or a later time from now on."""
        self._cells[0] = max(self._cells[0], high * _MS)

    def restart(self) -> None:
        """Forget the times that were shown."""
        self._cells[0] = self._cells[1] = _NEVER

    def _go_on(self, high: int) -> int:
        """Returns the time after `high`, while the machine's clock is behind it."""
        pace = self._pace()
        if pace + self._cells[1] < high:  # the clock was set back just now, or once more
            self._cells[1] = high - pace
        return pace + self._cells[1]
