"""The client of a probe: it repeats requests where that is safe, and never takes an unclear answer for a pass.

A check returns what it found if the property held. It raises `Broken` if the store violated the property, and
`Inconclusive` if the store was too busy, or lost too many answers, to decide. Requests that may be repeated without
harm (a read, an unconditional PUT, a refused request) are repeated a few times first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from fhirstore.clock import Clock, Ids
from fhirstore.errors import (
    ConditionalConflict,
    ObjectNotFound,
    OutcomeUnknown,
    PreconditionFailed,
    StoreBusy,
    StoreUnavailable,
    WriteWindowClosed,
)
from fhirstore.objects.base import Condition, Listed, ObjectStore, StoredObject

ATTEMPTS = 6
BODY_BYTES = 32 * 1024  # so long that a store which checks the condition before it has read the body loses races

Answer = TypeVar("Answer")


class Broken(Exception):
    """The store violated the property; the message says how."""


class Inconclusive(Exception):
    """The store's answers do not decide; the message says why."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How thorough the probe is. `racers`: their number in each round of a race; `counters`: tasks in the lost-update
    race. `patient`: wait some seconds, so that a clock of whole seconds can show that it runs. `seconds`: of all checks
    together, for a store may take a request and never answer it.
    """

    racers: tuple[int, ...]
    counters: int
    patient: bool
    seconds: float = 40


# Many small races find an unsafe store more often than a few large ones, and they are faster on stores where contenders
# for one key wait for each other (see docs/performance.md, probe).
SHORT = Effort(racers=(3,) * 14, counters=3, patient=False)
THOROUGH = Effort(racers=(3,) * 56 + (32,) * 4, counters=16, patient=True, seconds=300)


@dataclass(frozen=True, slots=True)
class ProbeClient:
    """Sends the requests of one probe, below its own folder `root` (ends with `/`)."""

    store: ObjectStore
    root: str
    effort: Effort
    ids: Ids
    clock: Clock

    def body(self) -> bytes:
        """Returns a body that no other request of any probe has."""
        return self.ids.new().encode().ljust(BODY_BYTES, b".")

    async def pause(self, attempt: int) -> None:
        """Wait before a repeat: jittered, doubling, at most half a second."""
        await asyncio.sleep(self.ids.jitter(0.2, 1.0) * min(0.5, 0.01 * 2**attempt))

    async def patiently(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """Repeat a request until there is an answer. Only for requests that may be applied twice without harm."""
        for attempt in range(ATTEMPTS):
            try:
                return await ask()
            except (StoreBusy, StoreUnavailable, OutcomeUnknown):
                await self.pause(attempt)
        raise Inconclusive(f"no answer in {ATTEMPTS} attempts")

    async def read(self, key: str) -> StoredObject | None:
        """Returns the object, or None where there is none."""
        try:
            return await self.patiently(lambda: self.store.get(key))
        except ObjectNotFound:
            return None

    async def delete(self, key: str) -> None:
        await self.patiently(lambda: self.store.delete(key))

    async def listing(self, prefix: str, *, start_after: str | None = None, limit: int = 1000) -> list[Listed]:
        """Returns all pages of a listing of a small folder."""
        found: list[Listed] = []
        cursor: str | None = None
        for _ in range(1000):
            after = start_after if cursor is None else None
            page = await self.patiently(partial(self.store.list, prefix, start_after=after, cursor=cursor, limit=limit))
            found.extend(page.objects)
            cursor = page.cursor
            if cursor is None:
                return found
        raise Broken(f"a listing of {limit} per page did not end after 1,000 pages")

    async def put(
        self, key: str, body: bytes, *, condition: Condition | None = None, expires: int | None = None
    ) -> str:
        """Send a PUT that must be accepted. Returns its ETag. After a lost answer, or a 412 of a retry, it reads
        back."""
        for attempt in range(ATTEMPTS):
            try:
                return (await self.store.put(key, body, condition=condition, expires=expires)).etag
            except (StoreBusy, ConditionalConflict):
                pass
            except WriteWindowClosed as error:
                raise Broken("a PUT within its write window was refused") from error
            except (OutcomeUnknown, PreconditionFailed) as error:
                found = await self.read(key)
                if found is not None and found.body == body:
                    return found.etag
                if isinstance(error, PreconditionFailed):
                    raise Broken("a conditional PUT was refused though its condition was true") from error
            await self.pause(attempt)
        raise Inconclusive(f"no PUT was accepted in {ATTEMPTS} attempts")

    async def refused(
        self,
        key: str,
        *,
        stands: bytes | None,
        condition: Condition | None = None,
        expires: int | None = None,
    ) -> None:
        """Send a PUT that the store must refuse, without a change of the object `stands` (None: no object)."""
        body = self.body()
        for attempt in range(ATTEMPTS):
            try:
                await self.store.put(key, body, condition=condition, expires=expires)
            except (StoreBusy, ConditionalConflict, OutcomeUnknown):
                found = await self.read(key)
                if found is not None and found.body == body:
                    raise Broken("a PUT that had to be refused was applied") from None
                await self.pause(attempt)
            except (PreconditionFailed, WriteWindowClosed) as refusal:
                if isinstance(refusal, WriteWindowClosed) != (expires is not None):
                    raise Broken(f"refused for another reason: {type(refusal).__name__}") from refusal
                found = await self.read(key)
                if (found.body if found else None) != stands:
                    raise Broken("the PUT was refused, yet the object changed") from refusal
                return
            else:
                raise Broken("a PUT that had to be refused was accepted")
        raise Inconclusive(f"no clear refusal in {ATTEMPTS} attempts")

    async def not_deleted(self, key: str, *, stands: bytes, expires: int) -> None:
        """Send a DELETE whose window is over. The store must refuse it, without a change of the object `stands`."""
        for attempt in range(ATTEMPTS):
            try:
                await self.store.delete(key, expires=expires)
            except (StoreBusy, OutcomeUnknown):
                await self.pause(attempt)
            except WriteWindowClosed as refusal:
                found = await self.read(key)
                if found is None or found.body != stands:
                    raise Broken("the DELETE was refused, yet the object changed") from refusal
                return
            else:
                raise Broken("a DELETE that had to be refused was accepted")
        raise Inconclusive(f"no clear refusal in {ATTEMPTS} attempts")


async def together(parts: Iterable[Coroutine[Any, Any, Answer]]) -> list[Answer]:
    """Run all in parallel, each to its end, but none any further once one has found the store Broken.

    Of several failures, Broken is raised before Inconclusive.
    """
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        running = set(tasks)
        while running:
            ended, running = await asyncio.wait(running, return_when=asyncio.FIRST_EXCEPTION)
            if any(isinstance(task.exception(), Broken) for task in ended if not task.cancelled()):
                break
    finally:
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for kind in (Broken, Inconclusive, BaseException):
        for outcome in outcomes:
            if isinstance(outcome, kind):
                raise outcome
    return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
