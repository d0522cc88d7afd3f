"""Estimates the store's clock from the Date headers of its answers. Pure: no clock, no I/O.

A Date header (https://www.rfc-editor.org/rfc/rfc9110#name-date) has whole seconds. An answer with Date D to a request
sent at `a` and received at `b` (monotonic clock of this process) means that at some moment in [a, b] the store's clock
was in [D, D + 1 s), so

    offset = store - monotonic   lies in   [D - b, D + 1 s - a]

Many answers narrow this interval by intersection. Clocks drift, so a bound gets wider with age. If answers contradict
each other (the store's clock was set, this machine slept), only the newest counts. All times are milliseconds.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

DRIFT = 200e-6  # the most that two clocks drift apart per unit of time; quartz clocks stay below 100 ppm each
DATE_RESOLUTION = 1000.0
CLOCK_ERROR = 750  # ms; half the resolution, and the drift of twenty minutes without an answer


class StoreTime:
    """Bounds on the store's clock. `known`: there was an answer; until then only `observe` may be called."""

    __slots__ = ("_at", "_high", "_low", "known")

    def __init__(self) -> None:
        self.known = False
        self._low = self._high = self._at = 0.0

    def observe(self, date: int, *, sent: float, received: float) -> None:
        """Learn from one answer: its Date (epoch ms), and the monotonic times around its request."""
        low, high = date - received, date + DATE_RESOLUTION - sent
        if self.known:
            old_low, old_high = self._bounds(received)
            if max(low, old_low) <= min(high, old_high):
                low, high = max(low, old_low), min(high, old_high)
        self.known = True
        self._low, self._high, self._at = low, high, received

    def lower_bound(self, at: float) -> int:
        """Returns a time (epoch ms) that the store's clock had surely reached at the monotonic time `at`."""
        return int((at + self._bounds(at)[0]) // 1)

    def estimate(self, at: float) -> int:
        """Returns the store's time (epoch ms) at `at`: the middle of the bounds."""
        low, high = self._bounds(at)
        return int((at + (low + high) / 2) // 1)

    def uncertainty(self, at: float) -> float:
        """Returns how far `estimate` may be off at `at`, in ms."""
        low, high = self._bounds(at)
        return (high - low) / 2

    def _bounds(self, at: float) -> tuple[float, float]:
        drift = abs(at - self._at) * DRIFT
        return self._low - drift, self._high + drift


@lru_cache(maxsize=8)  # a busy store sends the same second many times
def parse_date(header: str | None) -> int | None:
    """Returns a Date header as epoch ms; None where it is missing or not a date."""
    if not header:
        return None
    try:
        parsed = parsedate_to_datetime(header)
    except ValueError:
        return None
    return int(parsed.replace(tzinfo=parsed.tzinfo or UTC).timestamp()) * 1000


def parse_timestamp(text: str) -> int:
    """Returns an ISO 8601 time as in S3's XML (`2026-11-20T04:58:35.123Z`) as epoch ms."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)
