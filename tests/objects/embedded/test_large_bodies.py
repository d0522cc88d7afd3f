"""Body files of the embedded store live exactly as long as the rows that name them, and readers survive both."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fhirstore.errors import ObjectDamaged, ObjectNotFound, OutcomeUnknown, PreconditionFailed
from fhirstore.objects.base import IF_ABSENT, IfMatch
from fhirstore.objects.embedded.store import EmbeddedStore
from fhirstore.objects.etag import etag_of
from tests.objects.store_under_test import MIB, cut, patterned

DAY = 24 * 3600


def files(directory: Path) -> list[Path]:
    """The body files there are."""
    return sorted((directory / "bodies").iterdir())


async def gone(file: Path) -> None:
    """Wait until the store's sweeper has removed the file."""
    while file.exists():  # noqa: ASYNC110 - removed by a thread that tells nobody
        await asyncio.sleep(0.001)


async def written(folder: Path, size: int) -> None:
    """Wait until the one body file has this size: a piece is written while the next one is awaited."""
    async with asyncio.timeout(30):
        while [path.stat().st_size for path in files(folder)] != [size]:  # noqa: ASYNC110 - the disk sets no event
            await asyncio.sleep(0.01)


async def test_only_large_and_streamed_bodies_are_files(tmp_path: Path) -> None:
    """A body up to the limit is a row, one byte more is a file, a streamed one always is; ETags do not tell."""
    store = await EmbeddedStore.open(tmp_path, large=100)
    await store.put("row", b"x" * 100)
    assert files(tmp_path) == []
    await store.put("file", b"x" * 101)
    streamed = await store.put_stream("streamed", cut(b"x" * 100, 9))
    assert len(files(tmp_path)) == 2
    assert streamed.etag == (await store.get("row")).etag == etag_of(b"x" * 100)
    await store.aclose()


async def test_file_goes_with_its_row(tmp_path: Path) -> None:
    """Replacing, deleting and batch deleting rows removes their files, and only theirs."""
    store = await EmbeddedStore.open(tmp_path, large=10)
    for number in range(6):
        await store.put(f"k/{number}", b"a large body %d" % number)
    await store.put("k/0", b"small")
    await store.put("k/1", b"another large body")
    await store.put("k/2", b"cas", condition=IfMatch((await store.get("k/2")).etag))
    await store.delete("k/3")
    await store.delete_many(["k/4", "k/none"])
    await store.aclose()
    assert sorted(path.read_bytes() for path in files(tmp_path)) == [b"a large body 5", b"another large body"]


async def test_refused_write_leaves_no_file(tmp_path: Path) -> None:
    """The file of a conditional PUT that lost is removed."""
    store = await EmbeddedStore.open(tmp_path, large=10)
    await store.put("k", b"first large body")
    for condition in (IF_ABSENT, IfMatch(etag_of(b"other"))):
        with pytest.raises(PreconditionFailed):
            await store.put("k", b"second large body", condition=condition)
    await store.aclose()
    assert [path.read_bytes() for path in files(tmp_path)] == [b"first large body"]


async def test_broken_off_stream_leaves_no_file(tmp_path: Path) -> None:
    """What was received before the source failed, or its task was cancelled, is removed."""
    store = await EmbeddedStore.open(tmp_path)
    received = asyncio.Event()

    async def source(*, fails: bool) -> AsyncIterator[bytes]:
        yield b"x" * (3 * MIB)
        if fails:
            raise ConnectionResetError
        received.set()
        await asyncio.Event().wait()

    with pytest.raises(ConnectionResetError):
        await store.put_stream("k", source(fails=True))
    task = asyncio.create_task(store.put_stream("k", source(fails=False)))
    await received.wait()
    await written(tmp_path, 3 * MIB)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await store.aclose()
    assert files(tmp_path) == []


async def test_reader_finishes_what_was_replaced_meanwhile(tmp_path: Path) -> None:
    """A stream goes on with the body it began with, though the object is replaced and its file removed."""
    store = await EmbeddedStore.open(tmp_path)
    body = patterned(5 * MIB)
    await store.put_stream("k", cut(body, MIB))
    (file,) = files(tmp_path)
    async with store.get_stream("k") as stream:
        chunks = stream.__aiter__()
        read = [await anext(chunks)]
        await store.put("k", b"small")
        await gone(file)
        read += [chunk async for chunk in chunks]
    assert b"".join(read) == body
    assert (await store.get("k")).body == b"small"
    await store.aclose()


@pytest.mark.slow
async def test_readers_always_find_one_whole_body(tmp_path: Path) -> None:
    """Readers racing with replacements between rows and files see one of the bodies, never an error or a mixture."""
    store = await EmbeddedStore.open(tmp_path, large=100)
    bodies = [bytes([65 + number]) * (50 if number % 2 else 5000) for number in range(8)]
    await store.put("k", bodies[0])
    writing = True

    async def write() -> None:
        nonlocal writing
        for number in range(200):
            await store.put("k", bodies[number % 8])
        writing = False

    async def read() -> None:
        while writing:
            found = await store.get("k")
            assert found.body in bodies
            assert etag_of(found.body) == found.etag
            await asyncio.sleep(0)

    await asyncio.gather(write(), *(read() for _ in range(4)))
    await store.aclose()


async def test_lost_file_is_reported(tmp_path: Path) -> None:
    """A row whose file was removed, changed or cut short by someone else raises ObjectDamaged, also after a retry."""
    store = await EmbeddedStore.open(tmp_path, large=10)
    await store.put("k", b"a large body")
    (file,) = files(tmp_path)
    file.write_bytes(b"A large body")
    with pytest.raises(ObjectDamaged, match="damaged"):
        await store.get("k")
    file.write_bytes(b"cut")
    with pytest.raises(ObjectDamaged, match="cut short"):
        await store.get("k")
    file.unlink()
    with pytest.raises(ObjectDamaged, match="missing"):
        await store.get("k")
    await store.put("k", b"healed")
    assert (await store.get("k")).body == b"healed"
    await store.delete("k")
    with pytest.raises(ObjectNotFound):
        await store.get("k")
    await store.aclose()


async def test_old_orphans_are_removed_at_open(tmp_path: Path) -> None:
    """Opening removes files that no row names once they are a day old, and no others."""
    store = await EmbeddedStore.open(tmp_path, large=10)
    await store.put("k", b"a large body in use")
    await store.aclose()
    (named,) = files(tmp_path)
    old, young = tmp_path / "bodies" / "old", tmp_path / "bodies" / "young"
    old.write_bytes(b"left by a crash two days ago")
    young.write_bytes(b"perhaps being written")
    for path in (old, named):
        os.utime(path, (time.time() - 2 * DAY, time.time() - 2 * DAY))
    store = await EmbeddedStore.open(tmp_path, large=10)
    await gone(old)
    await store.aclose()
    assert files(tmp_path) == sorted([named, young])


async def test_a_body_that_was_taken_for_an_orphan_gets_no_row(tmp_path: Path) -> None:
    """The machine's clock is set forward while a body arrives, and another process starts: the write is refused."""
    store = await EmbeddedStore.open(tmp_path)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        yield b"x" * MIB
        yield b"x" * MIB
        begun.set()
        await go_on.wait()

    write = asyncio.create_task(store.put_stream("k", chunks()))
    await begun.wait()
    await written(tmp_path, 2 * MIB)
    (file,) = files(tmp_path)
    os.utime(file, (0, time.time() - 2 * DAY))
    other = await EmbeddedStore.open(tmp_path)
    await gone(file)
    await other.aclose()
    go_on.set()
    with pytest.raises(OutcomeUnknown, match="nothing was written"):
        await write
    with pytest.raises(ObjectNotFound):
        await store.get("k")
    await store.aclose()
