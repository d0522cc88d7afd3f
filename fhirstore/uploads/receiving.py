"""Receives a content of unknown size: it is hashed on the way, and sent in parts, a bounded number at once.

A content below one part is kept in memory until its hash is known, and needs no multipart upload. A larger one is
uploaded part by part under a fresh name; the upload is completed only when its entry names it (`commit.placing`).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterable
from contextlib import suppress
from dataclasses import dataclass, field

from fhirstore.errors import ContentTooLarge, ObjectError, OutcomeUnknown, PayloadMismatch, UploadNotFound
from fhirstore.objects.base import CONCURRENCY, PART_SIZE, ObjectStore
from fhirstore.objects.facts import Facts, Progress
from fhirstore.objects.uploads import MOST_PARTS
from fhirstore.threads import in_thread


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


@dataclass(slots=True)
class Received:
    """A content that was received. `body`: all of it, if it is small; `upload`: else, which makes the object `key`.

    The caller must `complete` or `abort` an upload.
    """

    objects: ObjectStore
    key: str
    size: int
    sha256: str
    body: bytes | None = None
    upload: str = ""
    parts: list[tuple[int, str]] = field(default_factory=list)
    facts: Facts | None = None

    async def complete(self, expires: int) -> None:
        """Makes the object; a small one not after `expires` (epoch ms). Raises as `ObjectStore.put`, `complete_upload`.

        An upload that is completed after a day was aborted by the sweeper before.
        """
        if self.body is not None:
            await self.objects.put(self.key, self.body, expires=expires, facts=self.facts)
            return
        try:
            await self.objects.complete_upload(self.key, self.upload, self.parts)
        except UploadNotFound as error:
            raise OutcomeUnknown(self.key, "its upload was aborted by somebody else") from error

    async def abort(self) -> None:
        """Ends the upload, if there is one. What the store does not remove now is swept later."""
        if self.body is None:
            await abort_quietly(self.objects, self.key, self.upload)


async def receive(
    objects: ObjectStore,
    key: str,
    chunks: AsyncIterable[bytes],
    *,
    promise: Promise,
    facts: Facts | None = None,
    progress: Progress | None = None,
    part_size: int = PART_SIZE,
    concurrency: int = CONCURRENCY,
) -> Received:
    """Receives all chunks for the object `key`. Holds `part_size` times `concurrency` bytes, and one part more.

    An upload that fails, or whose caller is cancelled, is aborted. Raises ContentTooLarge, PayloadMismatch, what
    `chunks` raises, and as `ObjectStore.put_part`.
    """
    promise.check_size(promise.size or 0)
    receiver = _Receiver(
        objects, key, promise, facts=facts, progress=progress, part_size=part_size, concurrency=concurrency
    )
    try:
        async for chunk in chunks:
            await receiver.take(chunk)
        return await receiver.finish()
    except BaseException:
        await asyncio.shield(receiver.abort())
        raise


class _Receiver:
    def __init__(
        self,
        objects: ObjectStore,
        key: str,
        promise: Promise,
        *,
        facts: Facts | None,
        progress: Progress | None,
        part_size: int,
        concurrency: int,
    ) -> None:
        self._objects = objects
        self._key = key
        self._promise = promise
        self._facts = facts
        self._progress = progress
        self._part_size = part_size
        self._concurrency = concurrency
        self._hash = hashlib.sha256()
        self._pieces: list[bytes] = []
        self._held = 0  # bytes of the pieces
        self._size = 0
        self._upload = ""
        self._count = 0
        self._etags: dict[int, str] = {}
        self._under_way: dict[asyncio.Task[str], tuple[int, int]] = {}  # number and bytes of each part
        self._done = 0

    async def take(self, chunk: bytes) -> None:
        """Takes a chunk of any size."""
        self._size += len(chunk)
        self._promise.check_size(self._size)
        start = 0
        while self._held + len(chunk) - start >= self._part_size:
            end = start + self._part_size - self._held
            self._pieces.append(chunk[start:end])
            start = end
            await self._send()
        if start < len(chunk):
            self._pieces.append(chunk[start:] if start else chunk)
            self._held += len(chunk) - start

    async def finish(self) -> Received:
        """Sends what is left."""
        if not self._upload:
            body = b"".join(self._pieces)
            await in_thread(self._hash.update, body)
            digest = self._hash.hexdigest()
            self._promise.check_all(self._size, digest)
            return Received(self._objects, self._key, self._size, digest, body, facts=self._facts)
        if self._held:
            await self._send()
        await self._until_fewer_than(1)
        digest = self._hash.hexdigest()
        self._promise.check_all(self._size, digest)
        parts = sorted(self._etags.items())
        return Received(
            self._objects, self._key, self._size, digest, upload=self._upload, parts=parts, facts=self._facts
        )

    async def abort(self) -> None:
        """Ends the upload, if one was begun."""
        for task in self._under_way:
            task.cancel()
        if self._under_way:
            await asyncio.wait(self._under_way)
        if self._upload:
            await abort_quietly(self._objects, self._key, self._upload)

    async def _send(self) -> None:
        """Begins to send the pieces as one part, when fewer parts than allowed are under way."""
        part = b"".join(self._pieces)
        self._pieces, self._held = [], 0
        await in_thread(self._hash.update, part)
        if not self._upload:
            self._upload = await self._objects.create_upload(self._key, facts=self._facts)
        self._count += 1
        if self._count > MOST_PARTS:
            raise ContentTooLarge(f"The content has more than {MOST_PARTS * self._part_size:,} bytes")
        task = asyncio.create_task(self._objects.put_part(self._key, self._upload, self._count, part))
        self._under_way[task] = self._count, len(part)
        del part
        await self._until_fewer_than(self._concurrency)

    async def _until_fewer_than(self, most: int) -> None:
        while len(self._under_way) >= most:
            ended, _ = await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                number, size = self._under_way.pop(task)
                self._etags[number] = task.result()
                self._done += size
            if self._progress is not None:
                self._progress(self._done)


async def abort_quietly(objects: ObjectStore, key: str, upload: str) -> None:
    """Aborts the upload; what is left of it after an error is swept."""
    with suppress(ObjectError):
        await objects.abort_upload(key, upload)
