"""Reads a file of a sealed run: streamed, decoded, and verified against the seal.

The hash and the size are those of the stored bytes, so they are known to be right only when the last byte was read.
A reader that breaks off early has verified nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Protocol

import zstandard

from fhirstore.errors import ContentTooLarge, ObjectDamaged
from fhirstore.format.runs import SealedFile
from fhirstore.objects.base import ObjectStore, ObjectStream
from fhirstore.runs.encoding import Compression
from fhirstore.threads import LARGE, in_thread

LONGEST_LINE = 64 * 1024 * 1024  # bytes
WINDOW = 64 * 1024 * 1024
"""Bytes that one request reads. A large file is read in several, so that no connection lives for hours; and so that a
store does not compare the whole body with its ETag, which the hash in the seal makes needless."""

_SLICE = 4 * 1024  # stored bytes that are decoded at once: the most extreme compression makes 128 MiB of them
_CHUNK = 1024 * 1024  # decoded bytes of a chunk, plus what one slice gave
_WITH_GZIP_HEADER = 31  # as in `encoding`


class _Decompressor(Protocol):
    def decompress(self, data: bytes, /) -> bytes: ...


@asynccontextmanager
async def reading(objects: ObjectStore, key: str, file: SealedFile, *, raw: bool = False) -> AsyncIterator[FileReader]:
    """Opens a file. `raw`: its bytes as they are stored. Raises ObjectNotFound, and what `get_stream` raises."""
    async with objects.get_stream(key, end=min(file.size, WINDOW)) as stream:
        reader = FileReader(objects, stream, key, file, raw=raw)
        try:
            yield reader
        finally:
            await reader.aclose()


class FileReader:
    """A file being read, once, from its begin: by `async for chunk in file`, or by `lines`.

    Both raise ObjectDamaged at the end if the stored bytes are not those that the seal names, or cannot be decoded; and
    ValueError where the file is being read already, or has been.
    """

    def __init__(self, objects: ObjectStore, stream: ObjectStream, key: str, file: SealedFile, *, raw: bool) -> None:
        self.size = file.size if raw else file.raw_size
        self._objects = objects
        self._stream = stream
        self._key = key
        self._file = file
        self._decompressor = None if raw else _decompressor(file.encoding)
        self._hash = hashlib.sha256()
        self._begun = False
        self._chunks: AsyncGenerator[bytes, None] | None = None
        self._next: asyncio.Task[bytes | None] | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yields the bytes in chunks of about 1 MiB."""
        if self._begun:
            raise ValueError(f"{self._file.name}: the file is read once; open it again")
        self._begun = True
        if self._stream.size != self._file.size:
            raise ObjectDamaged(self._key, "its size is not the one in the seal of its run")
        async for chunk in self._ahead():
            if len(chunk) < LARGE:
                self._hash.update(chunk)
            else:
                await in_thread(self._hash.update, chunk)
            if self._decompressor is None:
                yield chunk
                continue
            pieces = self._decoded(chunk, self._decompressor)
            while piece := await in_thread(next, pieces, b""):
                yield piece
        if self._hash.hexdigest() != self._file.sha256:
            raise ObjectDamaged(self._key, "its bytes are not those that its run was sealed with")

    async def lines(self) -> AsyncIterator[bytes]:
        """Yields the lines, without their ends. Raises ContentTooLarge for a line of more than LONGEST_LINE bytes."""
        rest: list[bytes] = []
        held = 0
        async for chunk in self:
            first, *others = chunk.split(b"\n")
            rest.append(first)
            held += len(first)
            if held > LONGEST_LINE:
                raise ContentTooLarge(f"A line of {self._file.name} has more than {LONGEST_LINE} bytes")
            if others:
                yield b"".join(rest)
                for line in others[:-1]:
                    yield line
                rest, held = [others[-1]], len(others[-1])
        if held:
            yield b"".join(rest)

    async def aclose(self) -> None:
        """Ends the read that is under way."""
        if self._next is not None:
            self._next.cancel()
            await asyncio.gather(self._next, return_exceptions=True)
        if self._chunks is not None:
            await self._chunks.aclose()

    async def _ahead(self) -> AsyncIterator[bytes]:
        """Yields the stored chunks; the next one is read while the caller works on one."""
        self._chunks = self._stored()
        self._next = asyncio.create_task(_next(self._chunks))
        while (chunk := await self._next) is not None:
            self._next = asyncio.create_task(_next(self._chunks))
            yield chunk

    async def _stored(self) -> AsyncGenerator[bytes, None]:
        """Yields the stored chunks, window by window."""
        async for chunk in self._stream:
            yield chunk
        for start in range(WINDOW, self._file.size, WINDOW):
            end = min(start + WINDOW, self._file.size)
            async with self._objects.get_stream(self._key, start=start, end=end) as stream:
                async for chunk in stream:
                    yield chunk

    def _decoded(self, chunk: bytes, decompressor: _Decompressor) -> Iterator[bytes]:
        """Yields the decoded chunk, in pieces of bounded size. Blocks."""
        pieces: list[bytes] = []
        held = 0
        try:
            for start in range(0, len(chunk), _SLICE):
                piece = decompressor.decompress(chunk[start : start + _SLICE])
                pieces.append(piece)
                held += len(piece)
                if held >= _CHUNK:
                    yield b"".join(pieces)
                    pieces, held = [], 0
        except (zlib.error, zstandard.ZstdError) as error:
            raise ObjectDamaged(self._key, "its bytes cannot be decompressed") from error
        if held:
            yield b"".join(pieces)


async def _next(chunks: AsyncIterator[bytes]) -> bytes | None:
    with suppress(StopAsyncIteration):
        return await anext(chunks)
    return None


def _decompressor(compression: Compression | None) -> _Decompressor | None:
    match compression:
        case None:
            return None
        case "gzip":
            return zlib.decompressobj(_WITH_GZIP_HEADER)
        case "zstd":
            return zstandard.ZstdDecompressor().decompressobj()
