"""A token bucket: the rate at which something may happen, with a burst of one second's worth.

Tokens come at `rate` per second up to a full bucket, and what happens takes some. What is only known afterwards, such
as the length of an answer, may take more than there is: the bucket is then in debt, and nothing more is admitted until
the debt is paid.
"""

from __future__ import annotations

from collections.abc import Callable

BURST = 1.0  # seconds

Seconds = Callable[[], float]
"""A clock that only goes forward, in seconds."""


class TokenBucket:
    """One bucket, full at first. `least`: tokens that it holds at least when full, however low the rate."""

    def __init__(self, rate: float, *, now: Seconds, least: float = 1.0) -> None:
        self.rate = rate
        self._most = max(rate * BURST, least)
        self._now = now
        self._tokens = self._most
        self._then = now()

    def wait(self, wanted: float = 0.0) -> float:
        """Returns the seconds until there are `wanted` tokens, 0: there are. Takes nothing."""
        self._fill()
        return max(0.0, (min(wanted, self._most) - self._tokens) / self.rate)

    def take(self, tokens: float) -> None:
        """Takes so many tokens, even if there are fewer."""
        self._fill()
        self._tokens -= tokens

    @property
    def full(self) -> bool:
        """Whether it is as it was at first."""
        self._fill()
        return self._tokens >= self._most

    def _fill(self) -> None:
        now = self._now()
        self._tokens = min(self._most, self._tokens + (now - self._then) * self.rate)
        self._then = now
