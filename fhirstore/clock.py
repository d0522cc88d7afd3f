"""Time, ids and randomness. They are passed in wherever they are needed, so that everything runs in the simulator.

Times are integer milliseconds since the epoch, UTC. A `Clock` is the clock of this machine. The commit protocol uses
the clock of the store, `ObjectStore.now()`, alone.
"""

from __future__ import annotations

import os
import random
import time
from itertools import count
from typing import Protocol

from ulid import ULID

_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base32
_PAIRS = [first + second for first in _DIGITS for second in _DIGITS]
_COUNTED = len(_PAIRS) ** 2  # values of the last four digits of a ULID


class Clock(Protocol):
    """The wall clock of this machine."""

    def now(self) -> int:
        """Returns epoch milliseconds."""
        ...


class SystemClock:
    """The operating system's clock."""

    def now(self) -> int:
        return time.time_ns() // 1_000_000


class Ids(Protocol):
    """The source of fresh ids, op tokens and jitter."""

    def new(self) -> str:
        """Returns a fresh ULID: 26 characters of Crockford base32, never returned twice."""
        ...

    def jitter(self, low: float, high: float) -> float:
        """Returns a random number of seconds in [low, high)."""
        ...


class SystemIds:
    """ULIDs from the operating system's randomness, ascending; quicker than `str(ULID())` (see docs/performance.md).

    The first ULID of a millisecond is random but for its time; the following ones count its last four digits up. So
    the keys of the embedded store's B-tree ascend, which keeps it dense.
    """

    def __init__(self) -> None:
        self._begun: tuple[int, str, count[int]] = (-1, "", count())  # epoch ms, the first 22 digits, the last four

    def new(self) -> str:
        now = time.time_ns() // 1_000_000
        at, start, numbers = self._begun
        number = next(numbers)
        if at != now or number >= _COUNTED:
            randomness = os.urandom(10)
            start = str(ULID.from_bytes(now.to_bytes(6) + randomness))[:22]
            numbers = count(int.from_bytes(randomness[-3:]) % (_COUNTED // 2))  # the other half is left to count up
            self._begun, number = (now, start, numbers), next(numbers)
        return start + _PAIRS[number >> 10] + _PAIRS[number & 1023]

    def jitter(self, low: float, high: float) -> float:
        return random.uniform(low, high)  # noqa: S311 - spreads retries, guards nothing
