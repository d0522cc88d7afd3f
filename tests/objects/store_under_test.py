"""What every part of the object-store contract stands on: the store to test, its limits, words for lists and races."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Iterable
from dataclasses import dataclass
from itertools import count

import pytest

from fhirstore.errors import ConditionalConflict, PreconditionFailed
from fhirstore.objects.base import Condition, ObjectStore, Page, Written
from fhirstore.objects.facts import Facts
from fhirstore.objects.memory import MemoryStore

MINUTE = 60_000  # ms
MIB = 1024 * 1024

LOST = PreconditionFailed, ConditionalConflict  # what a loser of a race may be told; S3 says 409 while another PUT runs


@dataclass(frozen=True, slots=True)
class Put:
    """One of several PUTs at once."""

    key: str
    body: bytes
    condition: Condition | None = None
    expires: int | None = None
    follows: bool = False
    facts: Facts | None = None


class StoreUnderTest:
    """The store a backend's test class provides, and how hard it may be driven."""

    racers = 20  # concurrent conditional writers of one key
    many = 1100  # keys for paging and batch deletes; over 1,000 so that batches are split
    in_flight = 32  # concurrent requests while the many are written
    large = 20 * MIB + 12_345  # bytes of a streamed body: several S3 parts and a rest
    tags_follow = True  # an upload's tags reach its object, and a PUT drops those of the object before
    checks_part_sizes = True
    opaque_etags = False  # equal bodies have different ETags, as with SSE-KMS
    lists_uploads_by_prefix = True  # MinIO lists those of one key alone, and removes old ones by itself
    clock_error = MINUTE  # ms the store's clock may differ from this machine's

    @pytest.fixture
    def store(self) -> ObjectStore:
        """The store under test, empty, closed afterwards."""
        raise NotImplementedError

    def assert_plausible(self, date: int) -> None:
        """Epoch milliseconds near this machine's clock."""
        assert abs(date - time.time() * 1000) < self.clock_error

    async def fill(self, store: ObjectStore, keys: Iterable[str]) -> None:
        """PUT each key with its own name as the body."""
        gate = asyncio.Semaphore(self.in_flight)

        async def put(key: str) -> None:
            async with gate:
                await store.put(key, key.encode())

        async with asyncio.TaskGroup() as group:
            for key in keys:
                group.create_task(put(key))


def opaque_store() -> MemoryStore:
    """A store in memory whose ETags say nothing of the bodies: each is used once."""
    numbers = count(1)
    return MemoryStore(etag_of=lambda body: f"{next(numbers):08x}-opaque")


async def pages(
    store: ObjectStore, prefix: str, *, start_after: str | None = None, delimiter: bool = False, limit: int = 1000
) -> AsyncIterator[Page]:
    """Every page of a listing, each continued with the cursor of the one before."""
    page = await store.list(prefix, start_after=start_after, delimiter=delimiter, limit=limit)
    yield page
    seen: set[str] = set()
    while page.cursor is not None:
        assert page.cursor not in seen, "the listing goes round in circles"
        seen.add(page.cursor)
        page = await store.list(prefix, cursor=page.cursor, delimiter=delimiter, limit=limit)
        yield page


async def every_key(store: ObjectStore, prefix: str, *, start_after: str | None = None, limit: int = 1000) -> list[str]:
    """All keys below a prefix in the order given, repetitions included."""
    return [
        listed.key
        async for page in pages(store, prefix, start_after=start_after, limit=limit)
        for listed in page.objects
    ]


async def one_winner(writes: Iterable[Awaitable[Written]]) -> tuple[int, Written]:
    """Race the writes; exactly one succeeds and all others lose. Its number and what it wrote."""
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    for outcome in outcomes:
        assert isinstance(outcome, (Written, *LOST)), repr(outcome)
    won = [(number, outcome) for number, outcome in enumerate(outcomes) if isinstance(outcome, Written)]
    assert len(won) == 1
    return won[0]


def patterned(size: int) -> bytes:
    """A body in which no two megabytes are equal, so that a swapped part is noticed."""
    return b"".join(number.to_bytes(8, "big") for number in range(size // 8 + 1))[:size]


async def cut(body: bytes, size: int) -> AsyncIterator[bytes]:
    """The body in chunks of `size` bytes."""
    for offset in range(0, len(body), size):
        yield body[offset : offset + size]


async def chunks_of(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    """These chunks, asynchronously."""
    for chunk in chunks:
        yield chunk
