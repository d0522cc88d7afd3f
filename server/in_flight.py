"""How many bytes of request bodies and of answers a process may hold at once, and what each request holds of them.

A body counts from when it arrives, an answer from when it is in memory; both until the answer has left for the client.
A request that would go over the limit is refused with 503 and Retry-After. Bodies and answers of up to 64 KiB do not
count: there are never more of them than connections.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from typing import Protocol

from starlette.types import Scope

from server.refusal import Refused

SMALL = 64 * 1024  # bytes
_PATIENCE = 10.0  # seconds that a read waits for others to have been given their answers
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
    """The bytes in flight of a process. `used` exceeds `limit` only by answers that must be given: see `Share.owe`."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
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
