"""Protocols that run side by side, request by request, in an order that a test chooses; time passes when it says so."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic

from fhirstore.commit.drive import drive
from fhirstore.commit.messages import Batch, Pause, Protocol, Replies, Reply, Request, Result
from fhirstore.objects.base import ObjectStore
from tests.commit.hurried import HandClock
from tests.commit.writing import once


@dataclass(slots=True)
class Running(Generic[Result]):
    """One protocol under way. Each `step` sends one request, the one that `choice` names, and waits for its reply."""

    protocol: Protocol[Result]
    store: ObjectStore
    clock: HandClock
    result: Result | None = None
    done: bool = False
    _open: list[tuple[int, Request]] = field(default_factory=list)
    _replies: dict[int, Reply] = field(default_factory=dict)
    _started: bool = False

    async def step(self, choice: int) -> None:
        if not self._started:
            self._started = True
            self._send(None)
        elif self._open:
            position, request = self._open.pop(choice % len(self._open))
            (self._replies[position],) = await drive(once((request,)), self.store)
        if not self._open and not self.done:
            self._send(tuple(reply for _, reply in sorted(self._replies.items(), key=lambda item: item[0])))

    async def finish(self) -> Result:
        while not self.done:
            await self.step(0)
        assert self.result is not None
        return self.result

    def _send(self, replies: Replies | None) -> None:
        try:
            batch: Batch = next(self.protocol) if replies is None else self.protocol.send(replies)
            while isinstance(batch, Pause):
                self.clock.ms += int(batch.seconds * 1000)
                batch = self.protocol.send(())
        except StopIteration as end:
            self.result, self.done = end.value, True
        else:
            self._open, self._replies = list(enumerate(batch)), {}
