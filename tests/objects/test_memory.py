"""The memory store keeps the contract, and its time is the clock it was given."""

from collections.abc import AsyncIterator

import pytest

from fhirstore.errors import WriteWindowClosed
from fhirstore.objects.base import ObjectStore
from fhirstore.objects.memory import MemoryStore
from tests.objects.contract import ObjectStoreContract
from tests.objects.store_under_test import opaque_store


class TestMemoryStore(ObjectStoreContract):
    """Every promise of the object verbs holds in memory."""

    @pytest.fixture
    async def store(self) -> AsyncIterator[ObjectStore]:
        yield MemoryStore()


class TestOpaqueEtags(ObjectStoreContract):
    """Every promise holds where ETags are no hashes, as with SSE-KMS: each PUT of an equal body has another one."""

    opaque_etags = True

    @pytest.fixture
    async def store(self) -> AsyncIterator[ObjectStore]:
        yield opaque_store()


class HandClock:
    """A clock that a test sets."""

    def __init__(self, at: int) -> None:
        self.at = at

    def now(self) -> int:
        return self.at


async def test_time_is_the_clock_passed_in() -> None:
    """Dates and last-modified times are what the clock said."""
    clock = HandClock(1_000_000)
    store = MemoryStore(clock)
    assert (await store.put("a", b"1")).date == 1_000_000
    clock.at = 2_000_000
    assert (await store.get("a")).date == store.now() == 2_000_000
    assert (await store.list("")).objects[0].modified == 1_000_000


async def test_window_closes_when_the_clock_passes_it() -> None:
    """A write is taken at the last millisecond of its window and refused one later."""
    clock = HandClock(5_000)
    store = MemoryStore(clock)
    await store.put("a", b"in time", expires=5_000)
    clock.at = 5_001
    with pytest.raises(WriteWindowClosed):
        await store.put("a", b"late", expires=5_000)
    assert (await store.get("a")).body == b"in time"


def test_location_names_the_kind() -> None:
    """People see where the data lies."""
    assert MemoryStore().location == "memory:"
