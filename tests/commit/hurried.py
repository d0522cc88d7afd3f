"""Time that passes when a test says so, or when a protocol pauses: nobody waits for a write window to end."""

from __future__ import annotations

from fhirstore.commit.drive import drive
from fhirstore.commit.messages import Batch, Pause, Protocol, Replies, Result
from fhirstore.objects.base import ObjectStore


class HandClock:
    """A clock that a test moves."""

    def __init__(self, ms: int = 1_700_000_000_000) -> None:
        self.ms = ms

    def now(self) -> int:
        return self.ms


def hurried(protocol: Protocol[Result], clock: HandClock) -> Protocol[Result]:
    """The same protocol; its pauses move `clock` instead of taking time."""
    replies: Replies | None = None
    while True:
        try:
            batch: Batch = next(protocol) if replies is None else protocol.send(replies)
        except StopIteration as end:
            result: Result = end.value
            return result
        if isinstance(batch, Pause):
            clock.ms += int(batch.seconds * 1000) + 1
            replies = ()
        else:
            replies = yield batch


async def hurry(protocol: Protocol[Result], store: ObjectStore, clock: HandClock) -> Result:
    """Run `protocol` to its end at once."""
    return await drive(hurried(protocol, clock), store)
