"""The metered store counts requests, round trips and bytes per scope, and otherwise keeps the contract."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from fhirstore.errors import ObjectNotFound, PreconditionFailed
from fhirstore.objects.base import IF_ABSENT, ObjectStore, StoredObject
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.faulty import FaultyStore
from fhirstore.objects.wrappers.metered import MeteredStore
from tests.objects.contract import ObjectStoreContract
from tests.objects.probe.unsafe_stores import PassingOn
from tests.objects.store_under_test import MIB, Put, cut


class TestMeteredStore(ObjectStoreContract):
    """Every promise of the object verbs holds through the meter."""

    @pytest.fixture
    async def store(self) -> AsyncIterator[ObjectStore]:
        store = MeteredStore(MemoryStore())
        with store.measure():
            yield store


class Slow(PassingOn):
    """Answers a GET only once the test allows it."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())
        self.may_answer = asyncio.Event()

    async def get(self, key: str) -> StoredObject:
        await self.may_answer.wait()
        return await super().get(key)


async def test_requests_are_counted_by_verb() -> None:
    """Each object verb counts as its S3 request, whatever its answer."""
    store = MeteredStore(MemoryStore())
    with store.measure() as m:
        await store.check()
        await store.put("a", b"123")
        with pytest.raises(PreconditionFailed):
            await store.put("a", b"4567", condition=IF_ABSENT)
        await store.get("a")
        with pytest.raises(ObjectNotFound):
            await store.get("none")
        await store.list("")
        await store.delete("a")
    assert m.requests == {"HEAD": 1, "PUT": 2, "GET": 2, "LIST": 1, "DELETE": 1}
    assert (m.bytes_written, m.bytes_read) == (7, 3)
    assert m.round_trips == 7
    assert store.totals.requests == m.requests


async def test_parallel_requests_are_one_round_trip() -> None:
    """Requests that started before any other had finished are equally deep."""
    store = MeteredStore(PassingOn(MemoryStore()))
    with store.measure() as m:
        await asyncio.gather(*(store.put(str(number), b"") for number in range(4)))
        await store.put("commit", b"")
    assert m.requests == {"PUT": 5}
    assert m.round_trips == 2


async def test_several_puts_at_once_are_one_round_trip() -> None:
    """`put_many` counts each PUT, and none is deeper than another."""
    store = MeteredStore(PassingOn(MemoryStore()))
    with store.measure() as m:
        await store.put_many([Put("a", b"12"), Put("b", b"3"), Put("a", b"4", IF_ABSENT)])
        await store.put("commit", b"")
    assert (m.requests, m.round_trips, m.bytes_written) == ({"PUT": 4}, 2, 4)
    assert store.totals.requests == m.requests


async def test_round_trips_follow_the_longest_chain() -> None:
    """A long request beside a chain of short ones adds nothing; one that starts after the chain is deeper."""
    inner = Slow()
    store = MeteredStore(inner)
    await inner.put("a", b"")
    with store.measure() as m:
        slow = asyncio.create_task(store.get("a"))
        await asyncio.sleep(0)
        for _ in range(3):
            await store.put("b", b"")
        inner.may_answer.set()
        await slow
        assert m.round_trips == 3
        await store.put("c", b"")
    assert m.round_trips == 4


async def test_concurrent_scopes_do_not_mix() -> None:
    """Two operations at once each see their own requests, those of their child tasks included."""
    store = MeteredStore(PassingOn(MemoryStore()))

    async def operation(puts: int) -> dict[str, int]:
        with store.measure() as m:
            async with asyncio.TaskGroup() as group:
                for number in range(puts):
                    group.create_task(store.put(f"{puts}/{number}", b""))
        return m.requests

    assert list(await asyncio.gather(operation(2), operation(5))) == [{"PUT": 2}, {"PUT": 5}]
    assert store.totals.requests == {"PUT": 7}


async def test_scopes_nest_and_belong_to_one_store() -> None:
    """An inner scope's requests count in the outer one too; another store's count in neither."""
    store, other = MeteredStore(MemoryStore()), MeteredStore(MemoryStore())
    with store.measure() as outer:
        await store.put("a", b"")
        with store.measure() as inner:
            await store.put("b", b"")
            await other.put("b", b"")
    assert (outer.requests, inner.requests) == ({"PUT": 2}, {"PUT": 1})
    assert (outer.round_trips, inner.round_trips) == (2, 1)


async def test_scope_ends_with_its_block() -> None:
    """What a task does after the scope around its start was closed is not counted there."""
    store = MeteredStore(MemoryStore())
    go = asyncio.Event()

    async def later() -> None:
        await go.wait()
        await store.put("late", b"")

    with store.measure() as m:
        background = asyncio.create_task(later())
        await store.put("a", b"")
    go.set()
    await background
    assert m.requests == {"PUT": 1}


async def test_batch_deletes_count_a_request_per_thousand_keys() -> None:
    """No keys are no request; 1,000 are one; one more is two, one after the other."""
    store = MeteredStore(MemoryStore())
    for keys, requests in ((0, {}), (1, {"DELETE": 1}), (1000, {"DELETE": 1}), (1001, {"DELETE": 2})):
        with store.measure() as m:
            await store.delete_many([str(number) for number in range(keys)])
        assert m.requests == requests
        assert m.round_trips == requests.get("DELETE", 0)


@pytest.mark.parametrize(
    ("size", "requests"),
    [
        (0, {"PUT": 1}),
        (4, {"PUT": 1}),
        (5, {"PUT": 1, "POST": 2}),
        (6, {"PUT": 2, "POST": 2}),
        (21, {"PUT": 5, "POST": 2}),
    ],
)
async def test_streamed_put_counts_its_parts(size: int, requests: dict[str, int]) -> None:
    """A stream below a part is one PUT; a longer one is a PUT per part and two POSTs, in whatever chunks it comes."""
    body = bytes(size * MIB)
    for chunk in (MIB, 3 * MIB, 40 * MIB):
        store = MeteredStore(MemoryStore())
        with store.measure() as m:
            await store.put_stream("s", cut(body, chunk), part_size=5 * MIB)
        assert m.requests == requests
        assert m.bytes_written == len(body)


async def test_other_operations_count_their_requests() -> None:
    """As S3 gets them: a copy looks first, and an upload is a request for each step."""
    store = MeteredStore(MemoryStore())
    await store.put("a", b"1")
    with store.measure() as m:
        await store.stat("a")
        await store.copy("a", "b")
        await store.set_tags("a", dict(await store.get_tags("a")))
        upload = await store.create_upload("u")
        etag = await store.put_part("u", upload, 1, b"123")
        await store.list_uploads("")
        await store.complete_upload("u", upload, [(1, etag)])
        await store.abort_upload("u", upload)
    assert m.requests == {"HEAD": 2, "PUT": 3, "GET": 1, "POST": 2, "LIST": 1, "DELETE": 1}
    assert (m.round_trips, m.bytes_written) == (10, 3)


def test_no_operation_passes_uncounted() -> None:
    """Every operation of a store that sends requests is overridden; presigning and closing send none.

    `get_many` passes each of its GETs through `get`.
    """
    for wrapper in (MeteredStore, FaultyStore):
        operations = {name for name in vars(ObjectStore) if not name.startswith("_")}
        silent = {
            "location",
            "decides_together",
            "now",
            "writes",
            "clock_error",
            "aclose",
            "presign_get",
            "presign_put",
            "presign_post",
            "get_many",
        }
        assert operations - silent <= set(vars(wrapper))


async def test_streamed_get_counts_what_was_read() -> None:
    """A ranged stream is one GET and its bytes are those that came."""
    store = MeteredStore(MemoryStore())
    await store.put("s", b"0123456789")
    with store.measure() as m:
        async with store.get_stream("s", start=2, end=5) as stream:
            assert b"".join([chunk async for chunk in stream]) == b"234"
    assert (m.requests, m.bytes_read) == ({"GET": 1}, 3)


async def test_metering_is_cheap() -> None:
    """A measured GET costs microseconds more than a bare one; the bound is loose, the machine may be busy."""
    inner = MemoryStore()
    store = MeteredStore(inner)
    await inner.put("a", b"")

    async def best(of: ObjectStore) -> float:
        times = []
        for _ in range(20):
            started = time.perf_counter()
            for _ in range(500):
                await of.get("a")
            times.append((time.perf_counter() - started) / 500)
        return min(times)

    with store.measure():
        assert await best(store) - await best(inner) < 50e-6
