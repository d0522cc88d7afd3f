"""One run at a time, shared by all who wait; a run answers only those who asked before it began."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class Latest:
    """Runs `work` for whoever asks. While it runs, all who ask wait for one more run, which begins after this one.

    So what a caller did before it asked happened before the run that answers it began.
    """

    def __init__(self, work: Callable[[], Awaitable[None]]) -> None:
        self._work = work
        self._running: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Returns after a run that began after this call. Raises what that run raises."""
        if self._running is None or self._running.done():
            self._running, self._next = self._next or self._begin(None), None
            task = self._running
        else:
            if self._next is None:
                self._next = self._begin(self._running)
            task = self._next
        await asyncio.shield(task)

    async def aclose(self) -> None:
        """Ends the runs under way."""
        tasks = [task for task in (self._next, self._running) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, before: asyncio.Task[None] | None) -> asyncio.Task[None]:
        task = asyncio.create_task(self._once(before))
        task.add_done_callback(_retrieved)
        return task

    async def _once(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait((before,))
            if self._next is asyncio.current_task():  # otherwise whoever asked in between has moved it already
                self._running, self._next = self._next, None
        await self._work()


def _retrieved(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()  # those who waited for the run may be gone
