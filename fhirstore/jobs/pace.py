"""The pace of jobs: while a process has other things to do, its jobs take a share of the time, and all of it otherwise.

The jobs of a worker share an event loop, and the store, with the requests of a server. So they do their work in small
pieces, and tell how long each took. While others are active, one piece runs at a time, and behind a piece there is a
pause that makes it a *share* of the time. The pause is real time: a client that has its answer needs some to send the
next request, so a loop with nothing to do for a moment does not say that nobody wants it.

A piece that waits for the store takes long where the store is far away, though it keeps nobody waiting. So the pause
behind it is bounded more closely, and a job always goes on.

| a piece of b seconds | pause, `share` = 1/6 |
|---|---|
| work on the event loop, or in a thread beside it | 5 b, at most 0.25 s |
| requests to the store | 5 b, at most 0.02 s |

Whether others are active is told by `Activity`, if the process has one. Otherwise by turns of the event loop while no
piece runs: where two of five take long, there are others.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

Activity: TypeAlias = Callable[[], tuple[int, int]]
"""Returns how many requests of clients this process has begun so far, and how many of them are under way."""

_ACTIVE_FOR = 0.1  # seconds since the last sign of others
_IDLE_TURN = 0.000_05  # seconds; a turn of the loop in which nothing else was ready is shorter
_LOOK = 0.5  # seconds until pieces make room for a turn in which none of them runs
_MANY = 0.4  # of such turns: so many long ones say that there are others
_SLICE = 0.000_2  # seconds of work between two turns of the loop
_SHORTEST = 0.001  # seconds; shorter pauses are added up, since timers are not finer
_NAP = 0.02  # seconds between looks at whether others are still active


@dataclass(slots=True)
class Pacer:
    """The pace of all jobs of a worker. Times are in seconds.

    `share`: of the time, for jobs while others are active. `longest`: pause behind work; `longest_wait`: behind
    requests to the store. `clock`, `sleep`: as `time.perf_counter` and `asyncio.sleep`.
    """

    activity: Activity | None = None
    share: float = 1 / 6
    longest: float = 0.25
    longest_wait: float = 0.02
    clock: Callable[[], float] = time.perf_counter
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _due: float = float("-inf")  # when the next piece may begin, if others are active
    _active: float = float("-inf")  # when they were last
    _begun: int = 0
    _looked: float = float("-inf")  # when a turn without own pieces was measured
    _long: float = 0.0  # of these turns, the part that was long; the last ones count most
    _spent: float = 0.0  # since the last turn
    _running: int = 0
    _door: asyncio.Lock = field(default_factory=asyncio.Lock)
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        if self.activity is not None:
            self._begun, _ = self.activity()

    def others_active(self) -> bool:
        """Returns whether the process has other things to do, or had within the last 0.1 s."""
        if self.activity is None:
            return self._long > _MANY
        now = self.clock()
        begun, under_way = self.activity()
        if under_way or begun != self._begun:
            self._begun, self._active = begun, now
        return now - self._active < _ACTIVE_FOR

    def spend(self, began: float) -> None:
        """Takes note of work that began then, by `clock`, and has just ended."""
        spent = self.clock() - began
        self._spent += spent
        self._owe(spent, self.longest)

    async def turn(self) -> None:
        """Lets others run; pauses until the next piece is due, as long as others are active."""
        if self._spent >= _SLICE:
            await self.sleep(0)
        self._spent = 0.0
        await self._look()
        while (left := self._due - self.clock()) >= _SHORTEST and self.others_active():
            await self.sleep(min(left, _NAP))
            await self._look()

    @asynccontextmanager
    async def piece(self, *, at_once: int = 1) -> AsyncIterator[None]:
        """Holds a piece of work that sends requests to the store. It begins when it is due.

        `at_once`: of such pieces, so many run at a time while others are active; otherwise, all that want to.
        """
        async with self._door:
            await self.turn()
            while (self._running >= at_once and self.others_active()) or (self._running and self._look_is_due()):
                self._ended.clear()
                await self._ended.wait()
                await self.turn()
            self._running += 1
        began = self.clock()
        try:
            yield
        finally:
            self._running -= 1
            self._ended.set()
            self._owe((self.clock() - began) / at_once, self.longest_wait)

    def _owe(self, spent: float, longest: float) -> None:
        now = self.clock()
        pause = min(spent * (1 - self.share) / self.share, longest)
        due = max(self._due + spent, now) + pause  # what was due before is not paid by working
        self._due = min(due, max(self._due, now + longest))

    def _look_is_due(self) -> bool:
        return self.activity is None and self.clock() - self._looked > _LOOK

    async def _look(self) -> None:
        """Measures a turn of the loop, where this tells something: no piece runs."""
        if self.activity is not None or self._running:
            return
        before = self.clock()
        await self.sleep(0)
        self._looked = self.clock()
        if self._running == 0:
            self._long += (float(self._looked - before > _IDLE_TURN) - self._long) / 4
