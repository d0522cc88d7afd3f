"""The pace of refusals: a client that does not heed `Retry-After` must not keep the process busy with refusing it.

Thousands of connections that ask again as soon as they are refused would otherwise take the whole of a process, and
every other request would wait for them. So a process answers 429 at most `RATE` times a second, after a first burst;
the connections that want more of them wait.
"""

from __future__ import annotations

import asyncio
import time

from server.access.token_bucket import Seconds, TokenBucket

RATE = 200.0  # a second
_LONGEST = 10.0  # seconds that one refusal waits


class Refusals:
    """The refusals of a process."""

    def __init__(self, *, now: Seconds = time.monotonic) -> None:
        self._bucket = TokenBucket(RATE, now=now)

    def delay(self) -> float:
        """Counts one refusal. Returns the seconds until it may be sent."""
        self._bucket.take(1)
        return min(self._bucket.wait(), _LONGEST)

    async def pace(self) -> None:
        """Waits until one more refusal may be sent."""
        if seconds := self.delay():
            await asyncio.sleep(seconds)
