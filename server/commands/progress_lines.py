"""The progress of a long command as plain lines on standard error, for logs and pipes."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

EVERY = 5.0  # seconds between two lines


class ProgressLines:
    """Prints what `line` returns, at most once in `every` seconds; 0: never."""

    def __init__(self, line: Callable[[], str], *, every: float = EVERY) -> None:
        self._line = line
        self._every = every
        self._printed = time.monotonic()

    def poll(self) -> None:
        """Print a line if one is due."""
        now = time.monotonic()
        if self._every and now - self._printed >= self._every:
            self._printed = now
            sys.stderr.write(f"fhirstore: {self._line()}\n")
            sys.stderr.flush()

    @asynccontextmanager
    async def ticking(self) -> AsyncIterator[None]:
        """Prints lines meanwhile even where `poll` is not called: the command may be waiting."""
        task = asyncio.create_task(self._tick()) if self._every else None
        try:
            yield
        finally:
            if task is not None:
                task.cancel()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            self.poll()
