"""Makes durable body files of chunks that arrive, in threads; nothing is left where the chunks break off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from functools import partial
from typing import TypeVar

from fhirstore.errors import OutcomeUnknown, StoreFull
from fhirstore.objects.embedded.body_streams import CHUNK, gathered
from fhirstore.objects.embedded.large_bodies import IncomingBody, LargeBodies
from fhirstore.objects.facts import Steps
from fhirstore.objects.fullness import Fullness, why_os

_T = TypeVar("_T")


class Receiver:
    """Receives the large bodies of one store. `sweeper` removes files that come to nothing."""

    def __init__(self, bodies: LargeBodies, sweeper: Executor, fullness: Fullness) -> None:
        self._bodies = bodies
        self._sweeper = sweeper
        self._fullness = fullness

    async def receive(self, key: str, chunks: AsyncIterator[bytes], steps: Steps | None = None) -> IncomingBody:
        """Returns a durable file of the chunks, which no row names yet. Raises StoreFull, OutcomeUnknown.

        A piece is written and hashed while the next one is gathered, so that neither waits for the other.
        """
        body = self._bodies.begin()
        writing: asyncio.Task[None] | None = None
        try:
            async for piece in gathered(chunks, CHUNK):
                if writing is not None:
                    await writing
                    _count(steps, body.size)
                writing = asyncio.create_task(on_disk(key, partial(body.append, piece)))
            if writing is not None:
                await writing
                _count(steps, body.size)
            await on_disk(key, body.finish)
            if steps is not None:
                steps.finish()
        except StoreFull:
            self._fullness.note(body.size)
            self.abandon(body)
            raise
        except BaseException:
            if writing is not None:
                writing.cancel()  # its thread goes on, and finds the body abandoned
                await asyncio.gather(writing, return_exceptions=True)
            self.abandon(body)
            raise
        return body

    def abandon(self, body: IncomingBody) -> None:
        """Remove a body that no row will name."""
        self._sweeper.submit(body.abandon)


def _count(steps: Steps | None, size: int) -> None:
    if steps is not None:
        steps.reach(size)


async def on_disk(key: str, act: Callable[[], _T]) -> _T:
    """Run a blocking step of writing files in a thread. Raises StoreFull, OutcomeUnknown for errors of the disk."""
    try:
        return await asyncio.to_thread(act)
    except OSError as error:
        if (why := why_os(error)) is not None:
            raise StoreFull(key, why) from error
        raise OutcomeUnknown(key, f"its body file: {error.strerror}; nothing was written") from error
