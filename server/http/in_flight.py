"""How many bytes of request bodies and of answers a process may hold at once, and what each request holds of them.

A body counts from when it arrives, an answer from when it is in memory; both until the answer has left for the client.
A request that would go over the limit is refused with 503 and Retry-After. Bodies and answers of up to 64 KiB do not
count: there are never more of them than connections.

A long body is in memory several times while it is read, checked and stored. So requests that have theirs do this in
turn, only so many bytes of bodies at once.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from typing import Protocol

from starlette.types import Scope

from server.http.refusal import Refused

SMALL = 64 * 1024  # bytes
_PATIENCE = 15.0  # seconds that a request waits for others to make room
_COPIES = 4  # of a body while it is worked on
HOLDER = "fhirstore.holder"


class Crowded(Refused):
    """503: too much is under way; the same request succeeds later."""

    def __init__(self) -> None:
        super().__init__(
            503,
            "The server holds as many bytes of requests and answers as it may (FHIRSTORE_MAX_IN_FLIGHT_BYTES); "
            "send the request again later",
            headers={"Retry-After": "5"},
            code="throttled",
        )


class InFlight:
    """The bytes in flight of a process. `used` exceeds `limit` only by answers that must be given: see `Share.owe`.

    `work`: the same for the copies that are made while bodies are worked on.
    """

    def __init__(self, limit: int, *, work: InFlight | None = None) -> None:
        self.limit = limit
        self.used = 0
        self.work = work
        self._line: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def wait_and_take(self, size: int) -> None:
        """Take them in turn, as soon as there is room. Raises Crowded where that takes too long."""
        if not self._line and self.used + size <= self.limit:
            self.used += size
            return
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append((size, granted))
        try:
            async with asyncio.timeout(_PATIENCE):
                await granted
        except TimeoutError:
            self._leave(size, granted)
            raise Crowded from None
        except asyncio.CancelledError:
            self._leave(size, granted)
            raise

    def give(self, size: int) -> None:
        """They are free again."""
        self.used -= size
        while self._line:
            wanted, granted = self._line[0]
            if not granted.cancelled():
                if self.used + wanted > self.limit:
                    return
                self.used += wanted
                granted.set_result(None)
            self._line.popleft()

    def _leave(self, size: int, granted: asyncio.Future[None]) -> None:
        """The request that waited for these does so no longer."""
        self.give(0 if granted.cancelled() else size)


class Share:
    """What one request holds of the bytes in flight."""

    def __init__(self, whole: InFlight) -> None:
        self._whole = whole
        self._working = 0
        self.held = 0

    def take(self, size: int) -> None:
        """Hold that many more. Raises Crowded: then it holds nothing any more, since it is refused as a whole."""
        if self._whole.used + size > self._whole.limit:
            self.end()
            raise Crowded
        self.owe(size)

    def expect(self, size: int) -> None:
        """Raises Crowded where that many could not be held now, so that they need not even be sent."""
        if self._whole.used + size > self._whole.limit:
            raise Crowded

    async def wait_and_take(self, size: int) -> None:
        """Hold that many more, as soon as there is room. Raises Crowded where that takes too long."""
        await self._whole.wait_and_take(size)
        self.held += size

    async def begin_work(self) -> None:
        """What it holds is worked on from now on. Raises Crowded where others did not come to an end in time."""
        work = self._whole.work
        if work is None:
            return
        size = min(self.held * _COPIES, work.limit)
        try:
            await work.wait_and_take(size)
        except Crowded:
            self.end()
            raise
        self._working = size

    def end_work(self) -> None:
        """It is answered, and its copies are gone."""
        if self._working and self._whole.work is not None:
            self._whole.work.give(self._working)
        self._working = 0

    def owe(self, size: int) -> None:
        """Hold that many more, whether there is room or not: what was written is answered."""
        self._whole.used += size
        self.held += size

    def give(self, size: int) -> None:
        """Hold that many less."""
        self.held -= size
        self._whole.give(size)

    def end(self) -> None:
        """Hold nothing any more."""
        self.end_work()
        self.give(self.held)


class Holder(Protocol):
    """What the server puts into the ASGI scope of a request under `HOLDER`. `share`: None until the request has one."""

    in_flight: InFlight
    share: Share | None


def share_of(scope: Scope) -> Share:
    """The share of the request with this ASGI scope; without a limit where the server that runs the app has none."""
    holder: Holder | None = scope.get(HOLDER)
    if holder is None:
        return Share(InFlight(sys.maxsize))
    if holder.share is None:
        holder.share = Share(holder.in_flight)
    return holder.share


def end_work(scope: Scope) -> None:
    """What the request with this scope brought has been worked on, if it was long."""
    holder: Holder | None = scope.get(HOLDER)
    if holder is not None and holder.share is not None:
        holder.share.end_work()
