"""`ObjectStream`s over bodies in this machine's memory or on its disk."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from fhirstore.errors import ObjectDamaged, StoreUnavailable
from fhirstore.objects.embedded.large_bodies import OpenBody
from fhirstore.objects.etag import etag_hash

CHUNK = 1024 * 1024  # bytes; large enough that a hop to a thread per chunk does not matter


@dataclass(slots=True)
class BytesStream:
    """A stream over bytes in memory; `view` is the range to read."""

    size: int
    etag: str
    view: memoryview

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for offset in range(0, len(self.view), CHUNK):
            yield bytes(self.view[offset : offset + CHUNK])


@dataclass(slots=True)
class FileStream:
    """A stream over bytes [start, end) of a body file, read in threads. `whole`: its hash is compared at its end."""

    size: int
    etag: str
    key: str
    file: OpenBody
    start: int
    end: int
    whole: bool = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        hash_ = etag_hash() if self.whole else None
        for offset in range(self.start, self.end, CHUNK):
            yield await asyncio.to_thread(self._read, offset, min(CHUNK, self.end - offset), hash_)

    def _read(self, offset: int, length: int, hash_: hashlib.blake2b | None) -> bytes:
        try:
            chunk = self.file.read(offset, length)
        except OSError as error:
            raise StoreUnavailable(self.key, f"its body file: {error.strerror}") from error
        if len(chunk) < length:
            raise ObjectDamaged(self.key, "its body file is cut short; restore it from a backup", etag=self.etag)
        if hash_ is not None:
            hash_.update(chunk)
            if offset + length == self.end and hash_.hexdigest() != self.etag:
                raise ObjectDamaged(self.key, "its body file is damaged; restore it", etag=self.etag)
        return chunk


async def gathered(chunks: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    """Yields the same bytes in pieces of about `size`: small chunks are joined, large ones passed on."""
    waiting: list[bytes] = []
    held = 0
    async for chunk in chunks:
        waiting.append(chunk)
        held += len(chunk)
        if held >= size:
            yield b"".join(waiting)
            waiting.clear()
            held = 0
    if waiting:
        yield b"".join(waiting)
