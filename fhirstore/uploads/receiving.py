"""A content on its way to the store: hashed beside, compared with what was promised, admitted before it is an object.

A content below one part is kept in memory until its hash is known. A larger one is streamed: it is at the store when
its last chunk has been taken, and becomes an object when the stream of chunks ends. In between it is admitted: the
entry of the content names the object (`commit.placing`), so that it never exists without a name.

The hash is computed in a thread, while the pieces are sent.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from fhirstore.errors import ContentTooLarge, PayloadMismatch
from fhirstore.objects.base import ObjectStore
from fhirstore.objects.facts import Facts, Progress

_TOGETHER = 1024 * 1024  # bytes that are hashed in one go, at least


@dataclass(frozen=True, slots=True)
class Promise:
    """What the sender says of the content. `most`: bytes allowed. `size`, `sha256`: those it must have, if given."""

    most: int | None = None
    size: int | None = None
    sha256: str | None = None

    def check_size(self, size: int) -> None:
        """Raises ContentTooLarge, PayloadMismatch if the content has more bytes than it may have."""
        if self.most is not None and size > self.most:
            raise ContentTooLarge(f"The content has more than {self.most:,} bytes")
        if self.size is not None and size > self.size:
            raise PayloadMismatch(f"The content has more than the {self.size:,} bytes that were promised")

    def check_all(self, size: int, sha256: str) -> None:
        """Raises PayloadMismatch if it is not the content that was promised."""
        if self.size is not None and size != self.size:
            raise PayloadMismatch(f"The content has {size:,} bytes, but {self.size:,} were promised")
        if self.sha256 is not None and sha256 != self.sha256.lower():
            raise PayloadMismatch("The content has another SHA-256 than was promised")


Admit = Callable[[str, int], Awaitable[int]]
"""Admits a content with this SHA-256 (hex) and size: an entry names the object from now on. Returns until when a small
object may be written, epoch ms. Raises what ends the upload, without an object.
"""


class Incoming:
    """The chunks of one content. `size`, `sha256` (hex): known at their end."""

    def __init__(self, chunks: AsyncIterable[bytes], promise: Promise, admit: Admit) -> None:
        self._chunks = aiter(chunks)
        self._promise = promise
        self._admit = admit
        self._hash = hashlib.sha256()
        self.size = 0
        self.sha256 = ""

    async def store(
        self,
        objects: ObjectStore,
        key: str,
        *,
        facts: Facts | None,
        progress: Progress | None,
        part_size: int,
        concurrency: int,
    ) -> None:
        """Makes the object `key` of the chunks, once they are admitted. Holds `part_size` times `concurrency` bytes.

        Raises ContentTooLarge, PayloadMismatch, what the chunks and `admit` raise (then there is no object), and as
        `ObjectStore.put_stream`.
        """
        begun: list[bytes] = []
        async for chunk in self._taken():
            begun.append(chunk)
            if self.size > part_size:
                break
        else:
            expires = await self._end(begun)
            await objects.put(key, b"".join(begun), expires=expires, facts=facts)
            if progress is not None:
                progress(self.size)
            return
        await objects.put_stream(
            key, self._hashed(begun), facts=facts, part_size=part_size, concurrency=concurrency, progress=progress
        )

    async def _taken(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            self.size += len(chunk)
            self._promise.check_size(self.size)
            yield chunk

    async def _hashed(self, begun: list[bytes]) -> AsyncIterator[bytes]:
        """Yields all chunks, and ends when they are admitted."""
        hashing: asyncio.Future[None] | None = None
        waiting, held = list(begun), sum(map(len, begun))
        while begun:
            yield begun.pop(0)
        async for chunk in self._taken():
            waiting.append(chunk)
            held += len(chunk)
            if held >= _TOGETHER:
                if hashing is not None:
                    await hashing
                hashing = self._update(waiting)
                waiting, held = [], 0
            yield chunk
        if hashing is not None:
            await hashing
        await self._end(waiting)

    async def _end(self, rest: Sequence[bytes]) -> int:
        await self._update(rest)
        self.sha256 = self._hash.hexdigest()
        self._promise.check_all(self.size, self.sha256)
        return await self._admit(self.sha256, self.size)

    def _update(self, pieces: Sequence[bytes]) -> asyncio.Future[None]:
        return asyncio.get_running_loop().run_in_executor(None, _update, self._hash, pieces)


def _update(hash_: hashlib._Hash, pieces: Sequence[bytes]) -> None:
    for piece in pieces:
        hash_.update(piece)
