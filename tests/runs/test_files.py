"""A file is written in flat memory, and appears as a whole when it is closed, or never."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import random
from collections.abc import AsyncIterator, Callable

import pytest
import zstandard

from fhirstore.errors import ObjectNotFound, StoreUnavailable
from fhirstore.objects import ObjectStore
from fhirstore.objects.base import CONCURRENCY, PART_SIZE, Written
from fhirstore.objects.facts import Facts, Progress
from fhirstore.objects.memory import MemoryStore
from fhirstore.runs.encoding import Compression
from fhirstore.runs.files import BATCH, writing

LINES = [b'{"n":%d,"text":"%s"}\n' % (n, b"x" * (n % 700)) for n in range(8_000)]
BODY = b"".join(LINES)

DECODERS: dict[Compression | None, Callable[[bytes], bytes]] = {
    None: bytes,
    "gzip": gzip.decompress,
    "zstd": lambda body: zstandard.ZstdDecompressor().decompressobj().decompress(body),
}


async def missing(objects: ObjectStore, key: str) -> bool:
    """Whether there is no such object."""
    try:
        await objects.get(key)
    except ObjectNotFound:
        return True
    return False


@pytest.mark.parametrize("compression", [None, "gzip", "zstd"])
async def test_small_writes_become_one_file(objects: ObjectStore, compression: Compression | None) -> None:
    """Its bytes are those written; size, hash, lines and raw size are those of the file."""
    async with writing(objects, "files/lines.jsonl", compression=compression) as file:
        for line in LINES:
            await file.write(line)
        assert (file.size, file.count) == (len(BODY), len(LINES))
        assert await missing(objects, "files/lines.jsonl")
        written = await file.close()
    stored = (await objects.get("files/lines.jsonl")).body
    assert DECODERS[compression](stored) == BODY
    assert (written.name, written.key, written.encoding) == ("lines.jsonl", "files/lines.jsonl", compression)
    assert (written.size, written.sha256) == (len(stored), hashlib.sha256(stored).hexdigest())
    assert (written.count, written.raw_size) == (len(LINES), len(BODY))


async def test_large_and_uneven_writes_keep_their_order(objects: ObjectStore) -> None:
    """Pieces of no bytes and of several batches, in any mixture, are stored one after the other."""
    chance = random.Random(7)
    pieces = [chance.randbytes(chance.choice((0, 1, 70_000, BATCH - 1, BATCH, 2 * BATCH + 3))) for _ in range(14)]
    async with writing(objects, "uneven") as file:
        for piece in pieces:
            await file.write(piece)
        written = await file.close()
    body = b"".join(pieces)
    assert (await objects.get("uneven")).body == body
    assert written.sha256 == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize("compression", [None, "gzip", "zstd"])
async def test_a_file_may_be_empty(objects: ObjectStore, compression: Compression | None) -> None:
    """Nothing written is a file without bytes, or an empty compressed one."""
    async with writing(objects, "empty", compression=compression) as file:
        written = await file.close()
    assert DECODERS[compression]((await objects.get("empty")).body) == b""
    assert (written.count, written.raw_size) == (0, 0)


async def test_an_error_in_the_block_leaves_nothing(objects: ObjectStore) -> None:
    """Also after more bytes than one part of an upload has."""
    with pytest.raises(ZeroDivisionError):
        async with writing(objects, "broken") as file:
            for _ in range(20):
                await file.write(bytes(BATCH))
            raise ZeroDivisionError
    assert await missing(objects, "broken")
    assert (await objects.list_uploads("")).uploads == ()


async def test_a_block_without_close_leaves_nothing(objects: ObjectStore) -> None:
    """A file that was not closed was not finished."""
    async with writing(objects, "unclosed") as file:
        await file.write(BODY)
    assert await missing(objects, "unclosed")
    with pytest.raises(ValueError, match="closed"):
        await file.write(b"more")


async def test_a_cancelled_writer_leaves_nothing(objects: ObjectStore) -> None:
    """Wherever the cancellation meets it before `close`."""
    writing_on = asyncio.Event()

    async def write() -> None:
        async with writing(objects, "cancelled") as file:
            for n in range(1_000_000):
                await file.write(BODY)
                if n == 2:
                    writing_on.set()

    task = asyncio.create_task(write())
    await writing_on.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await missing(objects, "cancelled")
    assert (await objects.list_uploads("")).uploads == ()


class SlowStore(MemoryStore):
    """Takes a chunk of a stream only when it may; counts the bytes that it took."""

    def __init__(self) -> None:
        super().__init__()
        self.may = asyncio.Semaphore(0)
        self.taken = 0

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
        async def slowly() -> AsyncIterator[bytes]:
            async for chunk in chunks:
                await self.may.acquire()
                self.taken += len(chunk)
                yield chunk

        return await super().put_stream(key, slowly(), facts=facts, part_size=part_size, progress=progress)


async def test_a_writer_waits_for_a_slow_store() -> None:
    """Never more than five batches are ahead of what the store has taken."""
    store = SlowStore()
    ahead: list[int] = []
    async with writing(store, "slow") as file:

        async def write() -> None:
            for _ in range(40):
                await file.write(bytes(BATCH))

        task = asyncio.create_task(write())
        for _ in range(30):
            store.may.release()
            for _ in range(20):
                await asyncio.sleep(0.001)
            ahead.append(file.size - store.taken)
        task.cancel()
        await asyncio.wait((task,))
    assert max(ahead) <= 5 * BATCH
    assert store.taken >= 20 * BATCH


class FailingStore(MemoryStore):
    """Breaks off every upload after its second chunk."""

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
        await anext(chunks)
        await anext(chunks)
        raise StoreUnavailable(key, "injected")


async def test_a_writer_is_told_that_the_upload_failed() -> None:
    """The next writes raise the error, and never wait for an upload that has ended."""
    with pytest.raises(StoreUnavailable):
        async with writing(FailingStore(), "failing") as file:
            for _ in range(100):
                await file.write(bytes(BATCH))


async def test_an_unknown_compression_is_refused() -> None:
    """Before anything is written."""
    with pytest.raises(ValueError, match="no such compression"):
        async with writing(MemoryStore(), "file", compression="lzma"):  # type: ignore[arg-type]
            pass
