"""All connections of a server process: how many there may be, and how long each may take.

Once a second one pass looks at every connection; requests set no timers. The limit on reading and writing is one on the
rate: a client must send a body, or read an answer, at 1 KiB for each second of the limit at least, so a long one may
take long.

A connection over the limit replaces the one that has been idle for longest; where none is idle, it is answered with
503. Some file descriptors are kept for the store, so that requests that were accepted can be served.
"""

from __future__ import annotations

import asyncio
import resource
from collections import deque
from enum import Enum
from http import HTTPStatus
from typing import Protocol

from server.http.in_flight import InFlight
from server.process.http_parser import closing_answer

_PERIOD = 1.0  # seconds from one pass to the next
_SLOWEST = 1024  # bytes a second
_MOST = 10_000
_FEWEST = 8
_MOST_WAITING = 2048
_MOST_REFUSED = 16  # connections that are being answered 503; one more is closed without an answer
_LOOK_AGAIN = 0.1  # seconds
_SETTLED_IN = 1.0  # seconds after which a new connection that has sent nothing counts as idle
_FULL = closing_answer(
    HTTPStatus.SERVICE_UNAVAILABLE,
    code="throttled",
    text="The server has as many connections as it may (FHIRSTORE_MAX_CONNECTIONS); try again later",
    retry_after=1,
)


class Phase(Enum):
    """What a connection waits for."""

    NEW = "a first request"
    IDLE = "another request"
    HEAD = "the rest of a head"
    BODY = "more of a body"
    READER = "the client to read"
    APP = "the app, or nothing that has a limit here"


class Watched(Protocol):
    """A connection, as far as `Connections` needs it.

    `watched`: the phase and number of requests at the last look; `progress`: what `state` gave then; `since`: loop
    time since when there was no more progress than that.
    """

    watched: tuple[Phase, int]
    progress: int
    since: float
    transport: asyncio.Transport

    @property
    def requests(self) -> int:
        """How many requests have begun on it."""
        ...

    def state(self) -> tuple[Phase, int]:
        """Return what it waits for, and a number that grows with the bytes that arrive or leave in that phase."""
        ...

    def time_out(self, phase: Phase) -> None:
        """End it, since it made no progress in this phase for longer than it may."""
        ...

    def refuse(self, answer: bytes) -> None:
        """Answer with these bytes and close."""
        ...


def descriptors_for_store(limit: int) -> int:
    """Returns how many of a process's file descriptors are kept for its store."""
    return max(64, limit // 4)


def most_connections() -> int:
    """Returns how many connections the process has file descriptors for (`ulimit -n`), without those of its store."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return _MOST
    return max(_FEWEST, min(_MOST, limit - descriptors_for_store(limit)))


def backlog() -> int:
    """Returns how many connections may wait to be accepted; all accepted, they leave the store its descriptors."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return _MOST_WAITING if limit == resource.RLIM_INFINITY else min(_MOST_WAITING, descriptors_for_store(limit) // 2)


class Connections:
    """Counts and watches them. `grace`: seconds that answers under way have when the server ends.

    `closing`: answers to requests that come now end their connections. `refused`: connections that were over the
    limit, so far; `timed_out`: those whose client was too slow.
    """

    def __init__(
        self, in_flight: InFlight, *, most: int | None, io_timeout: float, keep_alive: float, grace: float
    ) -> None:
        self.in_flight = in_flight
        self.closing = False
        self._most = most_connections() if most is None else most
        self._io_timeout = io_timeout
        self._keep_alive = keep_alive
        self._grace = grace
        self._least = int(io_timeout * _SLOWEST)
        self._open: set[Watched] = set()
        self._refused: set[Watched] = set()
        self._idle: deque[Watched] = deque()
        self._looked = 0.0
        self._ending = False
        self._loop = asyncio.get_running_loop()
        self.refused = 0
        self.timed_out = 0

    def __len__(self) -> int:
        return len(self._open)

    @property
    def most(self) -> int:
        """How many there may be."""
        return self._most

    def opened(self, connection: Watched) -> None:
        """Admits a connection that a client has made, or answers 503 where there are too many."""
        connection.since = self._loop.time()
        self._open.add(connection)
        if len(self._open) <= self._most:
            return
        victim = self._longest_idle(connection)
        if victim is not None:
            self._open.discard(victim)
            victim.transport.close()
            return
        self._open.discard(connection)
        self.refused += 1
        if len(self._refused) >= _MOST_REFUSED:
            connection.transport.abort()
            return
        self._refused.add(connection)
        connection.refuse(_FULL)

    def closed(self, connection: Watched) -> None:
        """Forgets a connection that is closed."""
        self._open.discard(connection)
        self._refused.discard(connection)

    async def close_after_answers(self, begun: asyncio.Event) -> None:
        """From the event on, an answer ends its connection, so that its client goes to another server."""
        await begun.wait()
        self.closing = True

    def end_soon(self) -> None:
        """Closes every connection after the grace: the server ends."""
        if not self._ending:
            self._ending = True
            self._loop.call_later(self._grace, self._end)

    async def watch(self) -> None:
        """Looks at all connections once a second, until cancelled."""
        while True:
            await asyncio.sleep(_PERIOD)
            self.look(self._loop.time())

    def look(self, now: float) -> None:
        """One pass: ends each connection that made no progress for longer than its phase allows. `now`: loop time."""
        for connection in tuple(self._open):
            phase, progress = connection.state()
            watched = (phase, connection.requests)
            if watched != connection.watched or progress - connection.progress >= self._least:
                connection.watched, connection.progress, connection.since = watched, progress, now
            elif now - connection.since > self._limit(phase):
                self.timed_out += phase not in (Phase.NEW, Phase.IDLE)
                connection.time_out(phase)

    def _limit(self, phase: Phase) -> float:
        if phase is Phase.APP:
            return float("inf")
        return self._keep_alive if phase is Phase.IDLE else self._io_timeout

    def _end(self) -> None:
        for connection in (*self._open, *self._refused):
            connection.transport.abort()

    def _longest_idle(self, newcomer: Watched) -> Watched | None:
        """Returns the connection that has waited for a request for longest."""
        now = self._loop.time()
        if not self._idle and now - self._looked > _LOOK_AGAIN:
            self._looked = now
            waiting = [(self._idle_since(one, now), one) for one in self._open if one is not newcomer]
            idle = [(since, one) for since, one in waiting if since is not None]
            self._idle.extend(one for _, one in sorted(idle, key=lambda pair: pair[0]))
        while self._idle:
            connection = self._idle.popleft()
            if connection in self._open and self._idle_since(connection, now) is not None:
                return connection
        return None

    def _idle_since(self, connection: Watched, now: float) -> float | None:
        phase, _ = connection.state()
        if phase is Phase.NEW:
            return connection.since if now - connection.since > _SETTLED_IN else None
        if phase is not Phase.IDLE:
            return None
        return connection.since if connection.watched == (phase, connection.requests) else now
