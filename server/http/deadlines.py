"""The deadline of every request: one that takes longer is cancelled, and answered by the caller of `missed`.

One coarse timer per process serves all requests: a request costs one entry in a dict, which is less than a timer
(benchmark: reads, see docs/performance.md). All requests have the same time, so the dict is in the order of their
deadlines. The timer runs only while there are requests.
"""

from __future__ import annotations

import asyncio
from asyncio import current_task

_TICKS = 30
"""Ticks that a request has; it is cancelled at most one tick late."""


class Deadlines:
    """The requests under way in one event loop, each the work of one task, the oldest first."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._count = 0
        self._began: dict[asyncio.Task[object] | None, int] = {}  # the tick at which the request began
        self._missed: set[asyncio.Task[object]] = set()
        self._now = 0  # ticks
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None  # the timer's

    def begin(self) -> asyncio.Task[object] | None:
        """Begins the deadline of the running task's request. Returns the task, for `end`."""
        self._count += 1
        if self._timer is None:
            self._start()
        task = current_task(self._loop)
        if task is not None:  # None only outside of a task
            self._began[task] = self._now
        return task

    def activity(self) -> tuple[int, int]:
        """Returns how many requests have begun so far, and how many of them are under way."""
        return self._count, len(self._began)

    def extend(self) -> None:
        """Begins the deadline of the running task's request anew: until now it waited for its client."""
        task = current_task()
        if task is not None and self._began.pop(task, None) is not None:
            self._began[task] = self._now

    def missed(self, task: asyncio.Task[object] | None) -> bool:
        """Returns whether only the deadline has cancelled this task; then the cancellation is taken back."""
        if task is None or task not in self._missed:
            return False
        self._missed.discard(task)
        return task.uncancel() == 0

    def end(self, task: asyncio.Task[object] | None) -> None:
        """Ends the deadline of the task's request, which is answered."""
        if self._began.pop(task, None) is None and task is not None:
            self._missed.discard(task)

    def tick(self) -> None:
        """Cancels the requests whose time is over. The timer calls it; a test may."""
        self._now += 1
        over = []
        for task, began in self._began.items():
            if self._now - began <= _TICKS:
                break
            over.append(task)
        for task in filter(None, over):
            del self._began[task]
            self._missed.add(task)
            task.cancel()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._began:
            self._start()

    def _start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(self.seconds / _TICKS, self.tick)
