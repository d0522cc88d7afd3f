"""Counts the reads of one client request, so that a limit can be put on them.

A batch may have thousands of entries, and each may read a thousand resources of any size. The batch looks at the count
before each entry and begins none beyond its limit. The bytes are bounded here, because one search may read more of them
than fit into memory. `metered` counts requests, round trips and bytes for tests and benchmarks; this one is for
production and counts reads alone.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager

from fhirstore.errors import ContentTooLarge
from fhirstore.objects.base import ObjectStore, ObjectStream, Page, StoredObject
from fhirstore.objects.wrappers.passing_on import PassingOn

MAX_READ = 256 * 1024 * 1024
_AT_ONCE = 32  # objects of unknown size that are read together


class ReadCounter(PassingOn):
    """An `ObjectStore` that passes everything on. `reads`: the number of GETs and LISTs so far; `read`: their bytes.

    A GET after `most` bytes raises ContentTooLarge; those under way are not cut off, and are 32 at most.
    """

    def __init__(self, inner: ObjectStore, *, most: int = MAX_READ) -> None:
        super().__init__(inner)
        self._most = most
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self.reads = self.read = 0

    async def get(self, key: str) -> StoredObject:
        self.reads += 1
        async with self._gate:
            if self.read > self._most:
                raise ContentTooLarge(
                    f"What this Bundle looks at has more than {self._most:,} bytes together; send fewer entries that"
                    " search, count or look up",
                    code="too-costly",
                )
            found = await self.inner.get(key)
            self.read += len(found.body)
        return found

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
        return await self.inner.list(prefix, start_after=start_after, cursor=cursor, delimiter=delimiter, limit=limit)

    def get_stream(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AbstractAsyncContextManager[ObjectStream]:
        self.reads += 1
        return self.inner.get_stream(key, start=start, end=end)
