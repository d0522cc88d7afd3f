"""How fast a long command goes, and how long it will take: from what was done in the last half minute."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

_WINDOW = 30.0  # seconds; a stall shows within this time


class Pace:
    """Measures one count, such as bytes or resources, that grows. `clock`: seconds that never go back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._samples: deque[tuple[float, float]] = deque()

    def at(self, done: float) -> None:
        """Note how much is done now. What grows by going back, as another file begins, starts anew."""
        now = self._clock()
        if self._samples and done < self._samples[-1][1]:
            self._samples.clear()
        while len(self._samples) > 1 and now - self._samples[1][0] >= _WINDOW:
            self._samples.popleft()
        if len(self._samples) > 1 and now - self._samples[-2][0] < _WINDOW / 60:
            self._samples.pop()  # a sample every half second is enough
        self._samples.append((now, done))

    @property
    def rate(self) -> float:
        """How much is done in a second; 0 where that is not known yet."""
        if len(self._samples) < 2:
            return 0.0
        (begin, before), (end, after) = self._samples[0], self._samples[-1]
        end = max(end, self._clock())
        return (after - before) / (end - begin) if end > begin else 0.0

    def left(self, total: float) -> float | None:
        """Returns the seconds until `total` is done at this rate; None: not known, or it stands still."""
        if not self._samples or not (rate := self.rate):
            return None
        return max(0.0, total - self._samples[-1][1]) / rate

    def megabytes(self, total: float = 0.0) -> str:
        """Returns rate and time left of bytes in words, such as `3.2 MB/s, 2 min left`. `total` 0: not known."""
        return _joined(f"{self.rate / 1e6:.1f} MB/s", self.left(total) if total else None)

    def count(self, unit: str, total: float = 0.0) -> str:
        """Returns rate and time left of a count in words, such as `85 resources/s, 2 min left`."""
        return _joined(f"{self.rate:,.0f} {unit}/s", self.left(total) if total else None)


def _joined(rate: str, left: float | None) -> str:
    return rate if left is None else f"{rate}, {time_left(left)}"


def time_left(seconds: float) -> str:
    """Returns a time in words: `12 s left`, `3 min left`, `2 h 5 min left`."""
    if seconds < 60:
        return f"{seconds:.0f} s left"
    minutes = round(seconds / 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min left" if hours else f"{minutes} min left"
