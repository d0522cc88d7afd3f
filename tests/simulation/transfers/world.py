"""A loop whose time is virtual, a network between processes and one store, and processes that crash.

Every request to the store takes its time to arrive, and so does its answer; either may be lost. A request that is under
way when its process crashes, or is asleep, arrives all the same.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from random import Random
from typing import Any, TypeVar

from fhirstore import FhirStore, TenantStore
from fhirstore.errors import ObjectError, OutcomeUnknown, StoreUnavailable
from fhirstore.objects.base import (
    Condition,
    ObjectStore,
    ObjectStream,
    Page,
    PutAnswer,
    PutRequest,
    StoredObject,
    Written,
)
from fhirstore.objects.facts import Facts, ObjectInfo
from fhirstore.objects.presigned import PresignedPost, PresignedPut
from fhirstore.objects.wrappers.passing_on import PassingOn
from fhirstore.tenancy import PrefixTenancy

TENANT = "t"
HOUR = 3600.0
_EPOCH = 1_700_000_000_000

_T = TypeVar("_T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose time jumps to the next event when nothing is left to do. What runs in threads runs here."""

    def __init__(self) -> None:
        super().__init__()
        self._seconds = 0.0

    def time(self) -> float:
        return self._seconds

    def _run_once(self) -> None:
        if not self._ready:  # type: ignore[attr-defined] # of BaseEventLoop
            timers = [timer.when() for timer in self._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]
            if timers:
                self._seconds = max(self._seconds, min(timers))
            for timer in self._scheduled:  # type: ignore[attr-defined]
                if timer.cancelled():  # else it would wait for a timer that is behind a cancelled one
                    timer._when = min(timer._when, self._seconds)
            heapq.heapify(self._scheduled)  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]

    def run_in_executor(self, executor: Executor | None, func: Callable[..., _T], *args: object) -> asyncio.Future[_T]:
        done: asyncio.Future[_T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - as a thread passes it on
            done.set_exception(error)
        return done


class LoopClock:
    """The store's clock: the loop's time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def now(self) -> int:
        return _EPOCH + int(self._loop.time() * 1000)


class Network(PassingOn):
    """The way of one process to the store. `calm`: nothing is slow or lost."""

    def __init__(self, inner: ObjectStore, chance: Random, *, calm: bool = False) -> None:
        super().__init__(inner)
        self._chance = chance
        self._calm = calm

    async def get(self, key: str) -> StoredObject:
        return await self._sent(lambda: self.inner.get(key), StoreUnavailable)

    async def stat(self, key: str) -> ObjectInfo:
        return await self._sent(lambda: self.inner.stat(key), StoreUnavailable)

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        condition: Condition | None = None,
        expires: int | None = None,
        facts: Facts | None = None,
    ) -> Written:
        put = self.inner.put
        return await self._sent(
            lambda: put(key, body, condition=condition, expires=expires, facts=facts), OutcomeUnknown
        )

    async def put_many(self, puts: Sequence[PutRequest]) -> Sequence[PutAnswer]:
        return await self._sent(lambda: self.inner.put_many(puts), None)

    async def delete(self, key: str, *, expires: int | None = None) -> None:
        await self._sent(lambda: self.inner.delete(key, expires=expires), OutcomeUnknown)

    async def delete_many(self, keys: Sequence[str]) -> None:
        await self._sent(lambda: self.inner.delete_many(keys), OutcomeUnknown)

    async def copy(self, source: str, target: str, *, facts: Facts | None = None) -> Written:
        return await self._sent(lambda: self.inner.copy(source, target, facts=facts), OutcomeUnknown)

    async def list(
        self,
        prefix: str,
        *,
        start_after: str | None = None,
        cursor: str | None = None,
        delimiter: bool = False,
        limit: int = 1000,
    ) -> Page:
        found = self.inner.list
        return await self._sent(
            lambda: found(prefix, start_after=start_after, cursor=cursor, delimiter=delimiter, limit=limit),
            StoreUnavailable,
        )

    @asynccontextmanager
    async def get_stream(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[ObjectStream]:
        await self._sent(lambda: self.inner.stat(key), StoreUnavailable)
        async with self.inner.get_stream(key, start=start, end=end) as stream:
            yield stream

    async def presign_put(self, key: str, **_: object) -> PresignedPut:
        return PresignedPut(key, {})

    async def presign_post(self, key: str, **_: object) -> PresignedPost:
        return PresignedPost(key, {})

    async def _sent(self, do: Callable[[], Awaitable[_T]], lost: type[ObjectError] | None) -> _T:
        async def arrived() -> _T:
            await self._on_the_way()
            return await do()

        if lost is not None and self._happens(0.02):
            raise lost(detail="the request was lost")
        request = asyncio.get_running_loop().create_task(arrived())
        request.add_done_callback(lambda task: task.cancelled() or task.exception())
        answer = await asyncio.shield(request)
        await self._on_the_way()
        if lost is not None and self._happens(0.02):
            raise lost(detail="the answer was lost")
        return answer

    async def _on_the_way(self) -> None:
        if self._calm:
            return
        kind = self._chance.random()
        seconds = self._chance.random() * (
            0.02 if kind < 0.85 else 2 if kind < 0.96 else 90 if kind < 0.99 else 18 * HOUR
        )
        await asyncio.sleep(seconds)

    def _happens(self, probability: float) -> bool:
        return not self._calm and self._chance.random() < probability


class Process:
    """A server process: it may crash, and then does nothing more."""

    def __init__(self, inner: ObjectStore, chance: Random, *, calm: bool = False) -> None:
        self.store = FhirStore(PrefixTenancy(Network(inner, chance, calm=calm), frozenset({TENANT})))
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def tenant(self) -> TenantStore:
        """The one tenant."""
        return self.store.tenant(TENANT)

    def begin(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Begins work that ends with the process."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        return task

    def crash(self) -> None:
        """Ends everything that it does."""
        for task in [*self._tasks, *self.store._engine._rests]:
            task.cancel()
