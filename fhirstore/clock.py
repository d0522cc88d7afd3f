"""Time, ids and randomness, passed in wherever they are needed, so that everything runs in the simulator.

Times are integer milliseconds since the epoch, UTC. A `Clock` is this machine's; what the *store's* clock says
is `ObjectStore.now()`, since the protocol trusts only that one.
"""

from __future__ import annotations

import random
import time
from typing import Protocol

from ulid import ULID


class Clock(Protocol):
    """This machine's wall clock."""

    def now(self) -> int:
        """Epoch milliseconds."""
        ...


class SystemClock:
    """The operating system's clock."""

    def now(self) -> int:
        return time.time_ns() // 1_000_000


class Ids(Protocol):
    """Where fresh ids, op tokens and jitter come from."""

    def new(self) -> str:
        """A fresh ULID: 26 characters of Crockford base32, never given twice."""
        ...

    def jitter(self, low: float, high: float) -> float:
        """A random number of seconds in [low, high)."""
        ...


class SystemIds:
    """ULIDs from the operating system's randomness."""

    def new(self) -> str:
        return str(ULID())

    def jitter(self, low: float, high: float) -> float:
        return random.uniform(low, high)  # noqa: S311 - spreads retries, guards nothing
