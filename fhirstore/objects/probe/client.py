"""Where a probe works, and how it asks: patiently, and never taking an unclear answer for a pass.

A check returns what it found when the property held; it raises `Broken` when the store was seen to violate it and
`Inconclusive` when the store was too busy, or lost too many answers, to tell. What may be asked again without
harm (a read, an unconditional PUT, a refused request) is asked again a few times first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

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
BODY_BYTES = 32 * 1024  # long enough that a store which checks before it has read the body has a window to lose in

Answer = TypeVar("Answer")


class Broken(Exception):
    """The store was seen to violate the property; the message says how."""


class Inconclusive(Exception):
    """The store's answers do not tell; the message says why."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard to try. `racers`: of each round of a race, in turn; `counters`: tasks in the lost-update race.

    `patient`: wait for whole seconds to pass where a clock needs them to show that it runs.
    """

    racers: tuple[int, ...]
    counters: int
    patient: bool


# Many small races rather than a few large ones. Measured with bodies of 16 KiB against a server that checks, writes a
# small file and only then replaces the object: 2 rounds of 8 caught it in 14 of 20 probes, 7 of 3 in 18, 14 of 3 in 20.
# They are quick on SeaweedFS, too, where contenders for one key wait for each other in steps of a second: the short
# form takes a good second, with rounds of 8 it took 3 to 5.
SHORT = Effort(racers=(3,) * 14, counters=3, patient=False)
THOROUGH = Effort(racers=(3,) * 56 + (32,) * 4, counters=16, patient=True)


@dataclass(frozen=True, slots=True)
class ProbeClient:
    """One probe's store, its own folder `root` (ends with `/`), and the means to ask."""

    store: ObjectStore
    root: str
    effort: Effort
    ids: Ids
    clock: Clock

    def body(self) -> bytes:
        """A body that no other request of any probe carries."""
        return self.ids.new().encode().ljust(BODY_BYTES, b".")

    async def pause(self, attempt: int) -> None:
        """Wait before asking again: jittered, doubling, at most half a second."""
        await asyncio.sleep(self.ids.jitter(0.2, 1.0) * min(0.5, 0.01 * 2**attempt))

    async def patiently(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """Ask until there is an answer. Only for requests that may be applied twice without harm."""
        for attempt in range(ATTEMPTS):
            try:
                return await ask()
            except (StoreBusy, StoreUnavailable, OutcomeUnknown):
                await self.pause(attempt)
        raise Inconclusive(f"no answer in {ATTEMPTS} attempts")

    async def read(self, key: str) -> StoredObject | None:
        """The object, or None where there is none."""
        try:
            return await self.patiently(lambda: self.store.get(key))
        except ObjectNotFound:
            return None

    async def delete(self, key: str) -> None:
        await self.patiently(lambda: self.store.delete(key))

    async def listing(self, prefix: str, *, start_after: str | None = None, limit: int = 1000) -> list[Listed]:
        """All pages of a listing of a folder known to be small."""
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
        """A PUT that must be accepted; the ETag it made. A lost answer, or the echo of a retry, is read back."""
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
        """A PUT that the store must refuse, leaving what `stands` (None: no object) as it was."""
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
        """A DELETE whose window is over: the store must refuse it, leaving what `stands`."""
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


async def together(parts: Iterable[Awaitable[Answer]]) -> list[Answer]:
    """All at once, each to its end. Of several failures a seen violation is raised rather than an unclear answer."""
    outcomes = await asyncio.gather(*parts, return_exceptions=True)
    for kind in (Broken, Inconclusive, BaseException):
        for outcome in outcomes:
            if isinstance(outcome, kind):
                raise outcome
    return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
