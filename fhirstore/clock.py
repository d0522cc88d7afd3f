"""Time, ids and randomness, passed in wherever they are needed, so that everything runs in the simulator.

Times are integer milliseconds since the epoch, UTC. A `Clock` is this machine's; what the *store's* clock says
is `ObjectStore.now()`, since the protocol trusts only that one.
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
_COUNTED = len(_PAIRS) ** 2  # what the last four digits of a ULID tell apart


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
    """ULIDs from the operating system's randomness, ascending, at a tenth of what `str(ULID())` takes, which is 3 µs.

    The first of a millisecond is all random but for its time; those that follow count its last four digits up. So they
    keep the embedded store's B-tree dense: with ids at random within the millisecond a create takes a tenth more.
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
            numbers = count(int.from_bytes(randomness[-3:]) % (_COUNTED // 2))  # the other half is left to count
            self._begun, number = (now, start, numbers), next(numbers)
        return start + _PAIRS[number >> 10] + _PAIRS[number & 1023]

    def jitter(self, low: float, high: float) -> float:
        return random.uniform(low, high)  # noqa: S311 - spreads retries, guards nothing
