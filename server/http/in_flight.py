"""The limit on bytes of request bodies and answers that a process holds at once, and each request's share of them.

A body counts from its arrival, an answer from when it is in memory; both until the answer has left for the client. A
request that would exceed the limit is refused with 503 and Retry-After. Bodies and answers of up to 64 KiB do not
count: there are never more of them than connections.

A long body is in memory several times while it is parsed, checked and stored. So requests do this one after another,
within a second limit on the bytes of all such copies.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from typing import Protocol

from starlette.types import Scope

from server.http.refusal import Refused

SMALL = 64 * 1024  # bytes
_PATIENCE = 15.0  # seconds that a request waits for room
_COPIES = 4  # of a body, while it is parsed, checked and stored
HOLDER = "fhirstore.holder"


class Crowded(Refused):
    """503: the limit on bytes in flight is reached; the same request succeeds later."""

    def __init__(self) -> None:
        super().__init__(
            503,
            "The server holds as many bytes of requests and answers as it may (FHIRSTORE_MAX_IN_FLIGHT_BYTES); "
            "send the request again later",
            headers={"Retry-After": "5"},
            code="throttled",
        )


class InFlight:
    """The bytes in flight of a process. `used` exceeds `limit` only by answers that must be sent: see `Share.owe`.

    `work`: the same for the copies of bodies that are being parsed, checked and stored.
    """

    def __init__(self, limit: int, *, work: InFlight | None = None) -> None:
        self.limit = limit
        self.used = 0
        self.work = work
        self._line: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def wait_and_take(self, size: int) -> None:
        """Takes `size` bytes as soon as there is room, in the order of the calls. Raises Crowded after some seconds."""
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
        """Gives `size` bytes back, to those that wait."""
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
        """Takes a request that no longer waits out of the line."""
        self.give(0 if granted.cancelled() else size)


class Share:
    """The bytes in flight that one request holds."""

    def __init__(self, whole: InFlight) -> None:
        self._whole = whole
        self._working = 0
        self.held = 0

    @property
    def limit(self) -> int:
        """The bytes that all requests together may hold."""
        return self._whole.limit

    def take(self, size: int) -> None:
        """Takes `size` bytes more. Raises Crowded; then it holds nothing any more, as the request is refused."""
        if self._whole.used + size > self._whole.limit:
            self.end()
            raise Crowded
        self.owe(size)

    def expect(self, size: int) -> None:
        """Raises Crowded where `size` bytes could not be taken now. Called before the client sends them."""
        if self._whole.used + size > self._whole.limit:
            raise Crowded

    async def wait_and_take(self, size: int) -> None:
        """Takes `size` bytes more as soon as there is room. Raises Crowded after some seconds."""
        await self._whole.wait_and_take(size)
        self.held += size

    async def begin_work(self) -> None:
        """Waits until the body that it holds may be parsed and stored. Raises Crowded after some seconds."""
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
        """Gives back what the copies of its body took."""
        if self._working and self._whole.work is not None:
            self._whole.work.give(self._working)
        self._working = 0

    def owe(self, size: int) -> None:
        """Takes `size` bytes more even over the limit: a request that was performed must be answered."""
        self._whole.used += size
        self.held += size

    def give(self, size: int) -> None:
        """Gives `size` bytes back."""
        self.held -= size
        self._whole.give(size)

    def end(self) -> None:
        """Gives everything back."""
        self.end_work()
        self.give(self.held)


class Holder(Protocol):
    """What the server process puts into the ASGI scope of a request at `HOLDER`. `share`: None until it is needed."""

    in_flight: InFlight
    share: Share | None


def share_of(scope: Scope) -> Share:
    """Returns the share of the request with this scope; one without a limit under a server that sets no holder."""
    holder: Holder | None = scope.get(HOLDER)
    if holder is None:
        return Share(InFlight(sys.maxsize))
    if holder.share is None:
        holder.share = Share(holder.in_flight)
    return holder.share


def end_work(scope: Scope) -> None:
    """Gives back what the copies of the body of the request with this scope took, if it was long."""
    holder: Holder | None = scope.get(HOLDER)
    if holder is not None and holder.share is not None:
        holder.share.end_work()
