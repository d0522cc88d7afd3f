"""Whose request a busy process works on next: its tenants share it, so that one that floods it waits for itself.

A process works on `limit` requests at once; more than that only slow each other down. Beyond it a request waits in the
line of its tenant, and the lines take turns, each as often as its weight says. A tenant that has fewer requests under
way than its share, `limit` divided among the tenants that are there, never waits, even if others hold all places: so
slow requests of one tenant do not keep another from beginning, and there are never more than twice `limit` requests
under way, or one for each tenant.

A request that waits for too long, or that finds too many of its tenant before it, is refused with 429.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from starlette.types import Message, Receive

from server.http.refusal import Refused

_RETRY_AFTER = "2"  # seconds
_MOST_ABSENT = 1_024  # tenants whose lines are kept although they have no requests


class TooManyWaiting(Refused):
    """429: the tenant has more requests than its share of a busy process can work on."""

    def __init__(self) -> None:
        super().__init__(
            429,
            "The server is busy, and this tenant has more requests than its share of it; send the request again later",
            headers={"Retry-After": _RETRY_AFTER},
        )


class _Line:
    """The requests of one tenant: `active` are under way, the others wait. `credit`: turns before the next line's.

    `present`: there are any.
    """

    __slots__ = ("active", "credit", "present", "tenant", "waiting", "weight")

    def __init__(self, tenant: str, weight: int) -> None:
        self.tenant = tenant
        self.weight = weight
        self.credit = weight
        self.active = 0
        self.present = False
        self.waiting: deque[asyncio.Future[None]] = deque()


class Turns:
    """The lines of all tenants. `weight`: of a tenant. `patience`: seconds that a request waits.

    `most_waiting`: requests of one tenant that wait at once.
    """

    def __init__(
        self, limit: int, *, weight: Callable[[str], int], patience: float, most_waiting: int | None = None
    ) -> None:
        self.limit = limit
        self.active = 0
        self._weight = weight
        self._patience = patience
        self._most_waiting = 16 * limit if most_waiting is None else most_waiting
        self._lines: dict[str, _Line] = {}
        self._tidy_at = _MOST_ABSENT
        self._weights = 0  # of the lines of all tenants that are there
        self._next: deque[_Line] = deque()  # lines in which somebody waits, the next one to have its turn first

    def waiting(self, tenant: str) -> int:
        """Returns how many requests of a tenant wait."""
        line = self._lines.get(tenant)
        return 0 if line is None else len(line.waiting)

    def begin(self, tenant: str) -> bool:
        """Begins a request of this tenant if it need not wait. Whoever gets True must call `end`."""
        line = self._lines.get(tenant) or self._new_line(tenant)
        if not line.present:
            line.present = True
            self._weights += line.weight
        elif line.waiting or (self.active >= self.limit and line.active >= self._share(line)):
            return False
        line.active += 1
        self.active += 1
        return True

    async def wait(self, tenant: str) -> None:
        """Begins a request for which `begin` returned False, when it is its turn. Raises TooManyWaiting."""
        line = self._lines[tenant]
        if len(line.waiting) >= self._most_waiting:
            raise TooManyWaiting
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not line.waiting:
            line.credit = line.weight
            self._next.append(line)
        line.waiting.append(turn)
        try:
            async with asyncio.timeout(self._patience):
                await turn
        except TimeoutError:
            self._give_up(line, turn)
            raise TooManyWaiting from None
        except asyncio.CancelledError:
            self._give_up(line, turn)
            raise

    def end(self, tenant: str) -> None:
        """Ends a request that has begun; another one may begin."""
        line = self._lines[tenant]
        line.active -= 1
        self.active -= 1
        if self._next:
            if line.waiting and line.active < self._share(line):
                self._grant(line)
            while self._next and self.active < self.limit:
                self._grant_next()
        if not line.active:
            self._settle(line)

    def _share(self, line: _Line) -> int:
        return self.limit * line.weight // self._weights or 1

    def _grant_next(self) -> None:
        """The line in front has its turn."""
        line = self._next[0]
        line.credit -= 1
        if line.credit <= 0:
            line.credit = line.weight
            self._next.rotate(-1)
        self._grant(line)

    def _grant(self, line: _Line) -> None:
        """Begins the request that has waited in the line for longest, if one there has not just given up."""
        while line.waiting:
            turn = line.waiting.popleft()
            if not turn.cancelled():
                turn.set_result(None)
                line.active += 1
                self.active += 1
                break
        if not line.waiting:
            self._next.remove(line)
            self._settle(line)

    def _give_up(self, line: _Line, turn: asyncio.Future[None]) -> None:
        """A request no longer waits; it may have got its turn in the same moment."""
        if turn.done() and not turn.cancelled():
            self.end(line.tenant)
            return
        if turn in line.waiting:  # else it was passed over
            line.waiting.remove(turn)
            if not line.waiting:
                self._next.remove(line)
                self._settle(line)

    def _settle(self, line: _Line) -> None:
        """A tenant without requests has no share."""
        if line.present and not line.active and not line.waiting:
            line.present = False
            self._weights -= line.weight

    def _new_line(self, tenant: str) -> _Line:
        """Lines are kept for the next request, but for those of tenants that are gone where there are very many."""
        if len(self._lines) >= self._tidy_at:
            self._lines = {name: line for name, line in self._lines.items() if line.present}
            self._tidy_at = max(_MOST_ABSENT, 2 * len(self._lines))
        line = self._lines[tenant] = _Line(tenant, self._weight(tenant))
        return line


class RequestTurn:
    """The turn of a request with a body: it begins when `receive` has received all of it; `end` must be called.

    So a client that is slow to send holds no place. A body of more than `most` bytes is stored as it arrives, and needs
    no turn.
    """

    __slots__ = ("_begun", "_most", "_receive", "_size", "_tenant", "_turns")

    def __init__(self, turns: Turns, tenant: str, receive: Receive, *, most: int) -> None:
        self._turns = turns
        self._tenant = tenant
        self._receive = receive
        self._most = most
        self._size = 0
        self._begun = False

    async def receive(self) -> Message:
        """Receives the next piece of the body; with the last one, waits for its turn. Raises TooManyWaiting."""
        message = await self._receive()
        if message["type"] == "http.request" and not self._begun:
            self._size += len(message.get("body", b""))
            if not message.get("more_body", False) and self._size <= self._most:
                if not self._turns.begin(self._tenant):
                    await self._turns.wait(self._tenant)
                self._begun = True
        return message

    def end(self) -> None:
        """The answer is there."""
        if self._begun:
            self._begun = False
            self._turns.end(self._tenant)
