"""The part of the object-store contract on bodies too large for memory: streamed in, streamed out, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from fhirstore.errors import ObjectNotFound, PreconditionFailed
from fhirstore.objects.base import IF_ABSENT, IfMatch, ObjectStore
from tests.objects.store_under_test import MIB, StoreUnderTest, chunks_of, cut, every_key, patterned


class StreamsContract(StoreUnderTest):
    """Large bodies, chunk by chunk."""

    async def test_large_body_streams_both_ways(self, store: ObjectStore) -> None:
        """A body of many megabytes comes back whole and in ranges, in bounded chunks, with its size and ETag."""
        body = patterned(self.large)
        written = await store.put_stream("big", cut(body, 1_000_003))
        async with store.get_stream("big") as stream:
            assert (stream.size, stream.etag) == (len(body), written.etag)
            chunks = [chunk async for chunk in stream]
        assert b"".join(chunks) == body
        assert max(len(chunk) for chunk in chunks) <= 16 * MIB
        middle = len(body) // 2
        for start, end in ((0, 1), (0, 10_000), (middle, middle + 3 * MIB), (len(body) - 5, None), (7, len(body) + 9)):
            async with store.get_stream("big", start=start, end=end) as stream:
                assert stream.size == len(body)
                assert b"".join([chunk async for chunk in stream]) == body[start:end]
        (listed,) = (await store.list("big")).objects
        assert (listed.size, listed.etag) == (len(body), written.etag)

    async def test_streamed_and_plain_objects_are_read_alike(self, store: ObjectStore) -> None:
        """GET reads what was streamed, a stream reads what was PUT, and both see the same ETag."""
        streamed = await store.put_stream("s", cut(b"streamed", 3))
        plain = await store.put("p", b"plain")
        found = await store.get("s")
        assert (found.body, found.etag) == (b"streamed", streamed.etag)
        async with store.get_stream("p", start=1, end=3) as stream:
            assert (stream.size, stream.etag) == (5, plain.etag)
            assert b"".join([chunk async for chunk in stream]) == b"la"

    async def test_streams_may_be_empty_or_unevenly_cut(self, store: ObjectStore) -> None:
        """No chunks, and empty ones, are bodies too."""
        await store.put_stream("none", cut(b"", 1))
        await store.put("empty", b"")
        await store.put_stream("holes", chunks_of([b"", b"a", b"", b"bc", b""]))
        assert (await store.get("none")).body == b""
        assert (await store.get("holes")).body == b"abc"
        for key in ("none", "empty"):
            async with store.get_stream(key) as stream:
                assert stream.size == 0
                assert [chunk async for chunk in stream if chunk] == []

    async def test_streamed_object_takes_part_in_conditions(self, store: ObjectStore) -> None:
        """A streamed object occupies its key and its ETag can be matched."""
        streamed = await store.put_stream("s", cut(b"x" * 100, 7))
        with pytest.raises(PreconditionFailed):
            await store.put("s", b"y", condition=IF_ABSENT)
        await store.put("s", b"y", condition=IfMatch(streamed.etag))
        assert (await store.get("s")).body == b"y"

    async def test_overwriting_changes_the_way_a_body_is_kept(self, store: ObjectStore) -> None:
        """A large streamed object may be replaced by a small PUT and the other way round; deletes work on both."""
        body = patterned(6 * MIB)
        await store.put_stream("o", cut(body, MIB))
        await store.put("o", b"small")
        assert (await store.get("o")).body == b"small"
        await store.put_stream("o", cut(body, MIB))
        assert (await store.get("o")).body == body
        await store.delete("o")
        with pytest.raises(ObjectNotFound):
            await store.get("o")

    async def test_aborted_stream_leaves_nothing(self, store: ObjectStore) -> None:
        """When the source fails midway nothing appears, and what was there before stays."""
        await store.put("kept", b"before")

        async def breaks_off() -> AsyncIterator[bytes]:
            for _ in range(7):
                yield b"x" * MIB
            raise ConnectionResetError

        for key in ("fresh", "kept"):
            with pytest.raises(ConnectionResetError):
                await store.put_stream(key, breaks_off())
        assert await every_key(store, "") == ["kept"]
        assert (await store.get("kept")).body == b"before"

    async def test_cancelled_stream_leaves_nothing(self, store: ObjectStore) -> None:
        """When the writing task is cancelled midway nothing appears."""
        started = asyncio.Event()

        async def stalls() -> AsyncIterator[bytes]:
            yield b"x" * (6 * MIB)
            started.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(store.put_stream("fresh", stalls()))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await every_key(store, "") == []

    async def test_absent_cannot_be_streamed(self, store: ObjectStore) -> None:
        """A stream of an absent key raises ObjectNotFound on entering."""
        with pytest.raises(ObjectNotFound):
            async with store.get_stream("absent"):
                pytest.fail("entered")
