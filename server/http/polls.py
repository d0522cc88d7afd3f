"""Counts the status requests for each job, and says when a client polls too fast.

A client may poll a job ten times without a pause, and then once a second. The count is this process's own and soft:
with several processes a client may poll as many times faster, and of very many jobs the one that was polled least
recently is forgotten.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic

_MOST_JOBS = 10_000


class Polls:
    """A token bucket for each job. `burst`: polls without a pause; `every`: seconds that earn another one."""

    def __init__(self, *, burst: int = 10, every: float = 1.0, now: Callable[[], float] = monotonic) -> None:
        self._burst = burst
        self._every = every
        self._now = now
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # polls left at a time in seconds

    def wait(self, job: str) -> int:
        """Counts a poll of this job. Returns 0, or in how many seconds the client may poll again: this is too fast."""
        now = self._now()
        left, at = self._buckets.pop(job, (float(self._burst), now))
        left = min(float(self._burst), left + (now - at) / self._every)
        enough = left >= 1
        self._buckets[job] = (left - 1 if enough else left, now)
        if len(self._buckets) > _MOST_JOBS:
            self._buckets.popitem(last=False)
        return 0 if enough else max(1, math.ceil((1 - left) * self._every))
