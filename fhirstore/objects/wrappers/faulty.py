"""A store that injects the faults of S3 and networks, from a seed. Everything above the store must survive them.

Each fault is one that the contract in `base` allows and that vendors show: a request is refused before anything
happened, lost on its way, answered with a lost response, delivered late or twice, or retried inside a client until its
own success is answered 412. A fault never breaks a guarantee of the store below: it changes what the caller learns and
when, not what a conditional PUT may do.

It is deterministic: every call draws the same number of random numbers when it starts, so a seed and a sequence of
calls give the same faults, whatever the calls return and however long they take.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TypeVar

from fhirstore.errors import (
    ConditionalConflict,
    ObjectError,
    OutcomeUnknown,
    PreconditionFailed,
    StoreBusy,
    StoreUnavailable,
)
from fhirstore.objects.base import (
    CONCURRENCY,
    PART_SIZE,
    Condition,
    ObjectStore,
    ObjectStream,
    Page,
    PutAnswer,
    PutRequest,
    StoredObject,
    Written,
)
from fhirstore.objects.facts import Facts, ObjectInfo, Progress
from fhirstore.objects.parallel_puts import put_each
from fhirstore.objects.uploads import UploadPage
from fhirstore.objects.wrappers.passing_on import PassingOn

_T = TypeVar("_T")


class Fault(StrEnum):
    """One kind of fault. The value is the name of its rate in `FaultRates`."""

    BUSY = "busy"  # any request: StoreBusy, not applied
    UNAVAILABLE = "unavailable"  # reads: StoreUnavailable
    CONFLICT = "conflict"  # conditional PUT: ConditionalConflict, not applied
    LOST_REQUEST = "lost_request"  # writes: OutcomeUnknown, never applied
    LATE_REQUEST = "late_request"  # PUT: OutcomeUnknown, and it reaches the store up to `lag` later
    LOST_RESPONSE = "lost_response"  # writes: applied (or refused) as asked, but the answer is OutcomeUnknown
    OWN_412 = "own_412"  # conditional PUT: applied, then answered PreconditionFailed
    DUPLICATE = "duplicate"  # PUT: applied and answered, and the same request reaches the store again, later


_READ = (Fault.BUSY, Fault.UNAVAILABLE)
_DELETE = (Fault.BUSY, Fault.LOST_REQUEST, Fault.LOST_RESPONSE)
_PUT = (*_DELETE, Fault.LATE_REQUEST, Fault.DUPLICATE)
_CONDITIONAL_PUT = (*_PUT, Fault.CONFLICT, Fault.OWN_412)


@dataclass(frozen=True, slots=True)
class FaultRates:
    """The probability of each fault, per request that it can happen to. A request has at most one fault.

    `delay` is the probability that a request waits up to `longest_delay` seconds before it is sent; `longest_lag`
    bounds, in seconds, how late a late or duplicated PUT arrives.
    """

    busy: float = 0.0
    unavailable: float = 0.0
    conflict: float = 0.0
    lost_request: float = 0.0
    late_request: float = 0.0
    lost_response: float = 0.0
    own_412: float = 0.0
    duplicate: float = 0.0
    delay: float = 0.0
    longest_delay: float = 0.01
    longest_lag: float = 0.05

    def __post_init__(self) -> None:
        if min(self.of(fault) for fault in Fault) < 0 or sum(self.of(fault) for fault in Fault) > 1:
            raise ValueError("fault rates are probabilities of exclusive faults: each at least 0, together at most 1")

    def of(self, fault: Fault) -> float:
        """Returns the rate of this fault."""
        rate: float = getattr(self, fault.value)
        return rate


NO_FAULTS = FaultRates()


class FaultyStore(PassingOn):
    """An `ObjectStore` with seeded faults. `injected`: the number of faults so far, by kind.

    `aclose` first waits for late and duplicated PUTs; `settle` waits for them without closing.
    """

    def __init__(
        self,
        inner: ObjectStore,
        rates: FaultRates,
        *,
        seed: int,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(inner)
        self._rates = rates
        self._random = random.Random(seed)  # noqa: S311 - replays faults; not for security
        self._sleep = sleep
        self._stragglers: set[asyncio.Task[None]] = set()
        self.injected: dict[Fault, int] = {}

    @property
    def decides_together(self) -> bool:
        return False

    async def check(self) -> None:
        await self._before_read("")
        await self.inner.check()

    async def get(self, key: str) -> StoredObject:
        await self._before_read(key)
        return await self.inner.get(key)

    async def list(
        self,
        prefix: str,
        *,
        start_after: str | None = None,
        cursor: str | None = None,
        delimiter: bool = False,
        limit: int = 1000,
    ) -> Page:
        await self._before_read(prefix)
        return await self.inner.list(prefix, start_after=start_after, cursor=cursor, delimiter=delimiter, limit=limit)

    async def stat(self, key: str) -> ObjectInfo:
        await self._before_read(key)
        return await self.inner.stat(key)

    @asynccontextmanager
    async def get_stream(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncGenerator[ObjectStream]:
        await self._before_read(key)
        async with self.inner.get_stream(key, start=start, end=end) as stream:
            yield stream

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        condition: Condition | None = None,
        expires: int | None = None,
        facts: Facts | None = None,
    ) -> Written:
        again = partial(self.inner.put, key, body, condition=condition, expires=expires, facts=facts)
        fault, delay, lag = self._draw(_PUT if condition is None else _CONDITIONAL_PUT)
        if delay:
            await self._sleep(delay)
        _refuse(fault, key)
        if fault is Fault.LATE_REQUEST:
            self._send_later(lag, again)
            raise OutcomeUnknown(key, "injected: late request")
        try:
            written = await again()
        except ObjectError as refusal:
            if fault is Fault.LOST_RESPONSE:
                raise OutcomeUnknown(key, "injected: lost response") from refusal
            raise
        if fault is Fault.LOST_RESPONSE:
            raise OutcomeUnknown(key, "injected: lost response")
        if fault is Fault.OWN_412:
            raise PreconditionFailed(key, "injected: echo of an own retry")
        if fault is Fault.DUPLICATE:
            self._send_later(lag, again)
        return written

    async def put_many(self, puts: Sequence[PutRequest]) -> Sequence[PutAnswer]:
        """Each PUT may have a fault of its own."""
        return await put_each(self, puts)

    async def put_stream(
        self,
        key: str,
        chunks: AsyncIterator[bytes],
        *,
        facts: Facts | None = None,
        part_size: int = PART_SIZE,
        concurrency: int = CONCURRENCY,
        progress: Progress | None = None,
    ) -> Written:
        send = partial(
            self.inner.put_stream,
            key,
            chunks,
            facts=facts,
            part_size=part_size,
            concurrency=concurrency,
            progress=progress,
        )
        return await self._write(key, send)

    async def delete(self, key: str, *, expires: int | None = None) -> None:
        await self._write(key, partial(self.inner.delete, key, expires=expires))

    async def delete_many(self, keys: Sequence[str]) -> None:
        await self._write("", partial(self.inner.delete_many, keys))

    async def copy(self, source: str, target: str, *, facts: Facts | None = None) -> Written:
        return await self._write(target, partial(self.inner.copy, source, target, facts=facts))

    async def get_tags(self, key: str) -> Mapping[str, str]:
        await self._before_read(key)
        return await self.inner.get_tags(key)

    async def set_tags(self, key: str, tags: Mapping[str, str]) -> None:
        await self._write(key, partial(self.inner.set_tags, key, tags))

    async def create_upload(self, key: str, *, facts: Facts | None = None) -> str:
        """A lost response leaves an upload of unknown id behind."""
        return await self._write(key, partial(self.inner.create_upload, key, facts=facts))

    async def put_part(self, key: str, upload: str, number: int, body: bytes) -> str:
        return await self._write(key, partial(self.inner.put_part, key, upload, number, body))

    async def complete_upload(self, key: str, upload: str, parts: Sequence[tuple[int, str]]) -> Written:
        return await self._write(key, partial(self.inner.complete_upload, key, upload, parts))

    async def abort_upload(self, key: str, upload: str) -> None:
        await self._write(key, partial(self.inner.abort_upload, key, upload))

    async def list_uploads(self, prefix: str, *, cursor: str | None = None) -> UploadPage:
        await self._before_read(prefix)
        return await self.inner.list_uploads(prefix, cursor=cursor)

    async def _write(self, key: str, send: Callable[[], Awaitable[_T]]) -> _T:
        """Send a write that is no PUT of a whole body; it may be refused, or its request or response lost."""
        fault, delay, _ = self._draw(_DELETE)
        if delay:
            await self._sleep(delay)
        _refuse(fault, key)
        try:
            answer = await send()
        except ObjectError as refusal:
            if fault is Fault.LOST_RESPONSE:
                raise OutcomeUnknown(key, "injected: lost response") from refusal
            raise
        if fault is Fault.LOST_RESPONSE:
            raise OutcomeUnknown(key, "injected: lost response")
        return answer

    async def settle(self) -> None:
        """Wait until every late or duplicated PUT has arrived at the store."""
        while self._stragglers:
            await asyncio.wait(self._stragglers)

    async def aclose(self) -> None:
        try:
            await self.settle()
        finally:  # cancelled while waiting: no task outlives its store
            for task in self._stragglers:
                task.cancel()
            await self.inner.aclose()

    def _draw(self, possible: tuple[Fault, ...]) -> tuple[Fault | None, float, float]:
        """Returns fault, delay and lag of a request. Always four draws, so that later requests keep their faults."""
        chance, delayed, delay, lag = (self._random.random() for _ in range(4))
        delay = delay * self._rates.longest_delay if delayed < self._rates.delay else 0.0
        for fault in Fault:  # each fault has its own part of [0, 1); one that cannot happen to this request is no fault
            chance -= self._rates.of(fault)
            if chance < 0:
                if fault not in possible:
                    break
                self.injected[fault] = self.injected.get(fault, 0) + 1
                return fault, delay, lag * self._rates.longest_lag
        return None, delay, 0.0

    async def _before_read(self, key: str) -> None:
        fault, delay, _ = self._draw(_READ)
        if delay:
            await self._sleep(delay)
        _refuse(fault, key)

    def _send_later(self, lag: float, put: Callable[[], Awaitable[Written]]) -> None:
        async def send() -> None:
            await self._sleep(lag)
            with suppress(ObjectError):  # no caller waits for this answer
                await put()

        task = asyncio.create_task(send())
        self._stragglers.add(task)
        task.add_done_callback(self._stragglers.discard)


def _refuse(fault: Fault | None, key: str) -> None:
    """Raise for the faults that keep the request from the store."""
    match fault:
        case Fault.BUSY:
            raise StoreBusy(key, "injected: slow down")
        case Fault.UNAVAILABLE:
            raise StoreUnavailable(key, "injected: no answer")
        case Fault.CONFLICT:
            raise ConditionalConflict(key, "injected: conflicting request under way")
        case Fault.LOST_REQUEST:
            raise OutcomeUnknown(key, "injected: lost request")
