"""Bodies of any size, a bounded piece at a time.

A download is a ranged GET that continues where a broken connection left off, if the object is still the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError

from fhirstore.errors import StoreBusy, StoreUnavailable
from fhirstore.objects.retries import retry_budget
from fhirstore.objects.s3.failures import Failure
from fhirstore.objects.s3.options import S3Options
from fhirstore.objects.s3.requests import Piece

if TYPE_CHECKING:
    from obstore import GetOptions, GetResult
    from obstore.store import S3Store as ObstoreS3

CHUNK = 1024 * 1024  # bytes of a chunk, plus at most one network read


async def in_parts(chunks: AsyncIterator[bytes], size: int) -> AsyncGenerator[list[Piece], None]:
    """Yields the same bytes in parts of `size` bytes, uncopied; only the last is shorter. No bytes give no parts."""
    pieces: list[Piece] = []
    held = 0
    async for chunk in chunks:
        view = memoryview(bytes(chunk))  # bytes are not copied; what could be changed while it waits is
        while held + len(view) >= size:
            left = size - held
            pieces.append(view[:left])
            yield pieces
            view = view[left:]
            pieces, held = [], 0
        if view:
            pieces.append(view)
            held += len(view)
    if pieces:
        yield pieces


async def following(first: list[list[Piece]], rest: AsyncIterator[list[Piece]]) -> AsyncIterator[list[Piece]]:
    """Yields the one part in `first`, which is taken out of it, then the rest."""
    yield first.pop()
    async for part in rest:
        yield part


@dataclass(slots=True)
class Download:
    """An `ObjectStream` of bytes [start, end) that survives broken connections."""

    size: int
    etag: str
    _store: ObstoreS3
    _path: str
    _key: str
    _options: S3Options
    _start: int
    _end: int
    _first: GetResult | None  # None: nothing to read

    @classmethod
    async def open(
        cls, store: ObstoreS3, path: str, key: str, *, options: S3Options, start: int, end: int | None
    ) -> Download:
        """Send the GET. Raises obstore's exceptions, which the caller translates."""
        if end is not None and end <= start:
            return await cls._empty(store, path, key, options)
        try:
            result = await obstore.get_async(store, path, options=_range(start, end))
        except BaseError as error:
            if Failure.from_obstore(error).status == 416:  # starts after the last byte
                return await cls._empty(store, path, key, options)
            raise
        size, etag = result.meta["size"], result.meta["e_tag"] or ""
        return cls(size, etag, store, path, key, options, start, min(size, end or size), result)

    @classmethod
    async def _empty(cls, store: ObstoreS3, path: str, key: str, options: S3Options) -> Download:
        meta = await obstore.head_async(store, path)
        return cls(meta["size"], meta["e_tag"] or "", store, path, key, options, 0, 0, None)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        position, failures, result = self._start, 0, self._first
        while position < self._end:
            try:
                if result is None:
                    asked = _range(position, self._end)
                    asked["if_match"] = self.etag
                    result = await obstore.get_async(self._store, self._path, options=asked)
                async for chunk in result.stream(min_chunk_size=CHUNK):
                    position += len(chunk)
                    failures = 0
                    yield chunk
                if position < self._end:
                    raise StoreUnavailable(self._key, "the body ended early")
            except (BaseError, FileNotFoundError, StoreUnavailable) as error:
                failure = Failure.from_obstore(error)
                failures += 1
                gone = failure.status in (404, 412)
                budget = retry_budget()
                spent = budget is not None and not gone and not budget.take((f"GET {self._key}",))
                if gone or spent or failures >= self._options.attempts:
                    detail = "the object was replaced while it was read" if gone else str(failure)
                    raise (StoreBusy if failure.busy else StoreUnavailable)(self._key, detail) from error
                result = None
                pause = self._options.pause(failures)
                self._options.tell("GET", failures, pause, busy=failure.busy)
                await asyncio.sleep(pause)


def _range(start: int, end: int | None) -> GetOptions:
    if end is not None:
        return {"range": (start, end)}
    return {"range": {"offset": start}} if start else {}
