"""Counts the reads of one client request, so that a limit can be put on them.

A batch may have thousands of entries, and each may read a thousand resources. The batch looks at the count before each
entry and begins none beyond its limit. `metered` counts requests, round trips and bytes for tests and benchmarks; this
one is for production and counts reads alone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager

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


class ReadCounter:
    """An `ObjectStore` that passes everything on. `reads`: the number of GETs and LISTs so far."""

    def __init__(self, inner: ObjectStore) -> None:
        self._inner = inner
        self.reads = 0

    @property
    def location(self) -> str:
        return self._inner.location

    @property
    def decides_together(self) -> bool:
        return self._inner.decides_together

    def now(self) -> int:
        return self._inner.now()

    async def check(self) -> None:
        await self._inner.check()

    async def get(self, key: str) -> StoredObject:
        self.reads += 1
        return await self._inner.get(key)

    async def put(
        self, key: str, body: bytes, *, condition: Condition | None = None, expires: int | None = None
    ) -> Written:
        return await self._inner.put(key, body, condition=condition, expires=expires)

    async def put_many(self, puts: Sequence[PutRequest]) -> Sequence[PutAnswer]:
        return await self._inner.put_many(puts)

    async def delete(self, key: str, *, expires: int | None = None) -> None:
        await self._inner.delete(key, expires=expires)

    async def delete_many(self, keys: Sequence[str]) -> None:
        await self._inner.delete_many(keys)

    async def list(
        self,
        prefix: str,
        *,
        start_after: str | None = None,
        cursor: str | None = None,
        delimiter: bool = False,
        limit: int = 1000,
    ) -> Page:
        self.reads += 1
        return await self._inner.list(prefix, start_after=start_after, cursor=cursor, delimiter=delimiter, limit=limit)

    async def put_stream(self, key: str, chunks: AsyncIterator[bytes]) -> Written:
        return await self._inner.put_stream(key, chunks)

    def get_stream(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AbstractAsyncContextManager[ObjectStream]:
        self.reads += 1
        return self._inner.get_stream(key, start=start, end=end)

    async def aclose(self) -> None:
        await self._inner.aclose()
