"""Writes one file of any size to an object store: flat memory, back-pressure, and nothing visible unless it is closed.

    async with writing(objects, key, compression="zstd") as file:
        async for line in lines:
            await file.write(line)
        written = await file.close()

Small writes are collected to batches of `BATCH` bytes. While the caller makes the next batch, the last one is encoded
and hashed in a thread, and the one before is sent. So a file holds about four batches in memory, and what the store's
`put_stream` holds. The commit point is the end of `put_stream`, in `close`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeAlias

import msgspec

from fhirstore.objects.base import PART_SIZE, ObjectStore, Written
from fhirstore.objects.facts import Facts, Progress
from fhirstore.runs.encoding import Compression, Encoder
from fhirstore.threads import LARGE, in_thread

_Upload: TypeAlias = Callable[[AsyncIterator[bytes]], Coroutine[None, None, Written]]

BATCH = 1024 * 1024  # bytes that are handed over at once


class WrittenFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file as it was written. `size`: bytes as stored. `sha256`: of these bytes, hex. `count`: lines.

    `raw_size`: bytes before compression. `encoding`: the compression, None without.
    """

    name: str
    key: str
    size: int
    sha256: str
    count: int
    raw_size: int
    encoding: Compression | None = None


@asynccontextmanager
async def writing(
    objects: ObjectStore,
    key: str,
    *,
    name: str | None = None,
    facts: Facts | None = None,
    compression: Compression | None = None,
    progress: Progress | None = None,
    part_size: int = PART_SIZE,
) -> AsyncIterator[FileWriter]:
    """Opens a file at `key`, which must be unique to this writer. `name`: by default the last segment of the key.

    `facts`, `progress`, `part_size`: as for `ObjectStore.put_stream`; progress counts bytes as stored. Unless the
    caller has called `close` when the block ends, the upload is aborted and nothing appears. Raises ValueError for an
    unknown compression.
    """
    upload = partial(objects.put_stream, key, facts=facts, progress=progress, part_size=part_size)
    writer = FileWriter(upload, key, name=name or key.rpartition("/")[2], compression=compression)
    try:
        yield writer
    finally:
        await writer.abort()


class FileWriter:
    """A file being written, by one task at a time. `size`: bytes written so far, before compression. `count`: lines."""

    def __init__(self, upload: _Upload, key: str, *, name: str, compression: Compression | None) -> None:
        self.key = key
        self.name = name
        self.size = 0
        self.count = 0
        self._send = upload
        self._compression = compression
        self._encoder = Encoder(compression)
        self._batch: list[bytes] = []
        self._held = 0
        self._closed = False
        self._written: WrittenFile | None = None
        self._encoded: asyncio.Queue[bytes | None] = asyncio.Queue(1)
        self._encoding: asyncio.Task[None] | None = None
        self._upload: asyncio.Task[Written] | None = None

    async def write(self, data: bytes) -> None:
        """Adds the bytes: whole lines or any part. The caller must not change them afterwards.

        Waits while the store is slower than the caller. If the wait is cancelled, the bytes are written nevertheless.
        Raises what the upload raised (StoreUnavailable, StoreBusy, StoreFull …); then the file cannot be completed.
        """
        check_bytes(data)
        if self._closed:
            raise ValueError(f"{self.name}: the file is closed")
        self._batch.append(data)
        self._held += len(data)
        self.size += len(data)
        self.count += data.count(b"\n")
        if self._held >= BATCH:
            await self._hand_over()

    async def close(self) -> WrittenFile:
        """Completes the upload: the object appears. Returns what was written; the same when it is called again.

        Raises what the upload raised. If it is cancelled, the object may have appeared or not.
        """
        if self._written is not None:
            return self._written
        if self._closed:
            raise ValueError(f"{self.name}: the file is closed")
        self._closed = True
        await self._hand_over(last=True)
        if self._encoding is not None:
            await _ended(self._encoding)
        if self._upload is not None:
            await _ended(self._upload)
        self._written = WrittenFile(
            name=self.name,
            key=self.key,
            size=self._encoder.size,
            sha256=self._encoder.sha256,
            count=self.count,
            raw_size=self.size,
            encoding=self._compression,
        )
        return self._written

    async def abort(self) -> None:
        """Ends an upload that is not complete, so that nothing appears. Does nothing after `close`."""
        self._closed = True
        self._batch.clear()
        tasks = [task for task in (self._encoding, self._upload) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _hand_over(self, *, last: bool = False) -> None:
        """Gives the batch to the thread, once that has done the one before."""
        batch, held, before = self._batch, self._held, self._encoding
        self._batch, self._held = [], 0
        if self._upload is None:
            self._upload = asyncio.create_task(self._send(self._chunks()))
        self._encoding = asyncio.create_task(self._encode(batch, before, large=held >= LARGE, last=last))
        if before is not None:
            await _ended(before)

    async def _encode(self, batch: list[bytes], before: asyncio.Task[None] | None, *, large: bool, last: bool) -> None:
        """Encodes one batch after the one `before`, and passes it on to the upload."""
        if before is not None:
            await before
        if large:
            chunk = await in_thread(self._encoder.encode, batch, last=last)
        else:
            chunk = self._encoder.encode(batch, last=last)
        if chunk:
            await self._pass_on(chunk)
        if last:
            await self._pass_on(None)

    async def _pass_on(self, chunk: bytes | None) -> None:
        """Waits until the upload takes the chunk. None: the end. Raises what the upload raised."""
        if self._upload is None:
            return
        put = asyncio.ensure_future(self._encoded.put(chunk))
        try:
            await asyncio.wait((put, self._upload), return_when=asyncio.FIRST_COMPLETED)
        finally:
            put.cancel()
        if self._upload.done():
            self._upload.result()

    async def _chunks(self) -> AsyncIterator[bytes]:
        while (chunk := await self._encoded.get()) is not None:
            yield chunk


def check_bytes(data: object) -> None:
    """Raises TypeError for text, before anything is done with it."""
    if isinstance(data, str):
        raise TypeError("files are written in bytes; encode the text")


async def _ended(task: asyncio.Task[object]) -> None:
    """Waits for the task, which goes on if the caller is cancelled. Raises what it raised."""
    await asyncio.wait((task,))
    task.result()
