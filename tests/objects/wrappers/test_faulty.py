"""The faulty store does what its rates say, the same for one seed, and never breaks the store below."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from fhirstore.errors import (
    ConditionalConflict,
    ObjectError,
    ObjectNotFound,
    OutcomeUnknown,
    PreconditionFailed,
    StoreBusy,
    StoreUnavailable,
)
from fhirstore.objects.base import IF_ABSENT, IfMatch, ObjectStore
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.faulty import NO_FAULTS, Fault, FaultRates, FaultyStore
from tests.objects.contract import ObjectStoreContract
from tests.objects.store_under_test import cut

SOME_OF_ALL = FaultRates(**{fault.value: 0.1 for fault in Fault}, delay=0.3, longest_delay=0.001, longest_lag=0.002)


class TestFaultyStoreAtRest(ObjectStoreContract):
    """Without faults every promise of the object verbs holds."""

    @pytest.fixture
    async def store(self) -> AsyncIterator[ObjectStore]:
        store = FaultyStore(MemoryStore(), NO_FAULTS, seed=1)
        yield store
        assert store.injected == {}


async def script(seed: int) -> tuple[list[str], dict[Fault, int]]:
    """The answers to a fixed sequence of calls, and what was injected."""
    store = FaultyStore(MemoryStore(), SOME_OF_ALL, seed=seed)
    answers: list[str] = []
    for number in range(40):
        for call in (
            store.put(f"{number}", b"1", condition=IF_ABSENT),
            store.get(f"{number}"),
            store.put(f"{number}", b"2"),
            store.delete(f"{number}"),
        ):
            try:
                answers.append(type(await call).__name__)
            except ObjectError as error:
                answers.append(type(error).__name__)
    await store.aclose()
    return answers, store.injected


async def test_same_seed_same_faults() -> None:
    """A seed and a sequence of calls fix every fault; another seed gives others."""
    one, again, other = await script(7), await script(7), await script(8)
    assert one[1] == again[1]
    assert one[1] != other[1]
    assert set(one[1]) == set(Fault)


async def test_faults_do_not_depend_on_earlier_outcomes() -> None:
    """A call is befallen by the same fault whether the calls before it succeeded or were refused."""

    async def faults(keys: str) -> list[bool]:
        store = FaultyStore(MemoryStore(), FaultRates(busy=0.5), seed=3)
        befallen = []
        for key in keys:
            before = store.injected.get(Fault.BUSY, 0)
            with suppress(StoreBusy, PreconditionFailed):
                await store.put(key, b"", condition=IF_ABSENT)
            befallen.append(store.injected.get(Fault.BUSY, 0) > before)
        return befallen

    assert await faults("aaaaaaaaaa") == await faults("abcdefghij")


async def test_lost_request_is_never_applied() -> None:
    """The writer does not know, and nothing was written."""
    inner = MemoryStore()
    store = FaultyStore(inner, FaultRates(lost_request=1), seed=1)
    with pytest.raises(OutcomeUnknown):
        await store.put("a", b"")
    with pytest.raises(OutcomeUnknown):
        await store.put_stream("a", cut(b"abc", 1))
    await store.settle()
    with pytest.raises(ObjectNotFound):
        await inner.get("a")


async def test_lost_response_is_applied() -> None:
    """The writer does not know, and the write or delete stands; a refusal is lost as well."""
    inner = MemoryStore()
    store = FaultyStore(inner, FaultRates(lost_response=1), seed=1)
    with pytest.raises(OutcomeUnknown):
        await store.put("a", b"1", condition=IF_ABSENT)
    with pytest.raises(OutcomeUnknown):
        await store.put("a", b"2", condition=IF_ABSENT)
    assert (await inner.get("a")).body == b"1"
    with pytest.raises(OutcomeUnknown):
        await store.put_stream("s", cut(b"abc", 1))
    assert (await inner.get("s")).body == b"abc"
    with pytest.raises(OutcomeUnknown):
        await store.delete("s")
    with pytest.raises(OutcomeUnknown):
        await store.delete_many(["a"])
    assert (await inner.list("")).objects == ()


async def test_other_writes_are_lost_or_applied_unheard() -> None:
    """Copies, tags and uploads have the faults of a delete: refused, lost, or applied with a lost answer."""
    inner = MemoryStore()
    await inner.put("a", b"1")
    upload = await inner.create_upload("u")
    etag = await inner.put_part("u", upload, 1, b"1")
    lost = FaultyStore(inner, FaultRates(lost_request=1), seed=1)
    unheard = FaultyStore(inner, FaultRates(lost_response=1), seed=1)
    busy = FaultyStore(inner, FaultRates(busy=1), seed=1)
    for store, error in ((busy, StoreBusy), (lost, OutcomeUnknown)):
        for request in (
            store.copy("a", "b"),
            store.set_tags("a", {"t": "1"}),
            store.create_upload("c"),
            store.put_part("u", upload, 1, b"2"),
            store.complete_upload("u", upload, [(1, etag)]),
            store.abort_upload("u", upload),
        ):
            with pytest.raises(error):
                await request
    assert [one.key for one in (await inner.list("")).objects] == ["a"]
    assert await inner.get_tags("a") == {}
    assert [one.upload for one in (await inner.list_uploads("")).uploads] == [upload]
    for request in (
        unheard.copy("a", "b"),
        unheard.set_tags("a", {"t": "1"}),
        unheard.create_upload("c"),
        unheard.complete_upload("u", upload, [(1, etag)]),
    ):
        with pytest.raises(OutcomeUnknown):
            await request
    assert [one.key for one in (await inner.list("")).objects] == ["a", "b", "u"]
    assert await inner.get_tags("a") == {"t": "1"}
    assert [one.key for one in (await inner.list_uploads("")).uploads] == ["c"]


async def test_late_request_is_applied_after_the_answer() -> None:
    """The writer is told nothing at first, and the write arrives all the same, under its own condition."""
    inner = MemoryStore()
    store = FaultyStore(inner, FaultRates(late_request=1), seed=1)
    with pytest.raises(OutcomeUnknown):
        await store.put("a", b"late", condition=IF_ABSENT)
    with pytest.raises(ObjectNotFound):
        await inner.get("a")
    await store.settle()
    assert (await inner.get("a")).body == b"late"


async def test_own_412_is_applied() -> None:
    """The refusal is the echo of the writer's own success; a real refusal is just that."""
    inner = MemoryStore()
    store = FaultyStore(inner, FaultRates(own_412=1), seed=1)
    for body in (b"1", b"2"):
        with pytest.raises(PreconditionFailed):
            await store.put("a", body, condition=IF_ABSENT)
    assert (await inner.get("a")).body == b"1"


async def test_duplicate_arrives_again() -> None:
    """An applied PUT is sent once more, later: a plain one overwrites, a conditional one finds its condition gone."""
    inner = MemoryStore()
    store = FaultyStore(inner, FaultRates(duplicate=1), seed=1)
    await store.put("plain", b"old")
    await inner.put("plain", b"new")
    written = await inner.put("matched", b"0")
    await store.put("matched", b"old", condition=IfMatch(written.etag))
    await inner.put("matched", b"new")
    await store.settle()
    assert (await inner.get("plain")).body == b"old"
    assert (await inner.get("matched")).body == b"new"


async def test_refusals_come_before_anything_happens() -> None:
    """Busy, conflicting and unavailable mean that the store never saw the request, where they can be met at all."""
    inner = MemoryStore()
    await inner.put("a", b"1")
    store = FaultyStore(inner, FaultRates(busy=1), seed=1)
    for call in (store.put("a", b"2"), store.delete("a"), store.delete_many(["a"]), store.get("a"), store.list("")):
        with pytest.raises(StoreBusy):
            await call
    store = FaultyStore(inner, FaultRates(conflict=1), seed=1)
    with pytest.raises(ConditionalConflict):
        await store.put("a", b"2", condition=IF_ABSENT)
    assert (await inner.get("a")).body == b"1"
    await store.put("a", b"3")
    store = FaultyStore(inner, FaultRates(unavailable=1), seed=1)
    for read in (store.get("a"), store.list(""), store.check()):
        with pytest.raises(StoreUnavailable):
            await read
    with pytest.raises(StoreUnavailable):
        async with store.get_stream("a"):
            pass
    await store.put("a", b"4")
    assert (await inner.get("a")).body == b"4"


async def test_delays_are_drawn_and_slept() -> None:
    """A delayed request waits within its bound, with the sleep passed in."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    store = FaultyStore(MemoryStore(), FaultRates(delay=0.5, longest_delay=3), seed=1, sleep=sleep)
    for number in range(200):
        await store.put(str(number), b"")
    assert 60 < len(slept) < 140
    assert 0 < min(slept) < max(slept) <= 3


async def test_closing_waits_for_stragglers() -> None:
    """No late write is lost, or left running, by closing the store."""
    inner = MemoryStore()
    store = FaultyStore(inner, FaultRates(late_request=1), seed=1)
    with pytest.raises(OutcomeUnknown):
        await store.put("a", b"")
    await store.aclose()
    assert (await inner.get("a")).body == b""


async def test_closing_may_be_cancelled() -> None:
    """A store whose stragglers hang can be given up; they are cancelled with it."""
    inner = MemoryStore()
    asleep = asyncio.Event()

    async def for_ever(_: float) -> None:
        asleep.set()
        await asyncio.Event().wait()

    store = FaultyStore(inner, FaultRates(late_request=1), seed=1, sleep=for_ever)
    with pytest.raises(OutcomeUnknown):
        await store.put("a", b"")
    closing = asyncio.create_task(store.aclose())
    await asleep.wait()
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await store.settle()
    assert (await inner.list("")).objects == ()


def test_rates_are_probabilities() -> None:
    """Rates below zero, or together above one, are refused."""
    for rates in ({"busy": -0.1}, {"busy": 0.6, "conflict": 0.6}):
        with pytest.raises(ValueError, match="probabilities"):
            FaultRates(**rates)
