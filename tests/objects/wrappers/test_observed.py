"""An observed store behaves like the one below it, and tells of the requests that a bill has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import pytest

from fhirstore.errors import ObjectNotFound, PreconditionFailed, StoreBusy
from fhirstore.objects.base import IF_ABSENT, ObjectStore
from fhirstore.objects.embedded.store import EmbeddedStore
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.observer import OUTCOMES
from fhirstore.objects.wrappers.faulty import FaultRates, FaultyStore
from fhirstore.objects.wrappers.metered import MeteredStore
from fhirstore.objects.wrappers.observed import ObservedStore
from tests.objects.contract import ObjectStoreContract
from tests.objects.store_under_test import MIB, Put


class Recorder:
    """Remembers what it is told. `requests`: by verb and outcome."""

    def __init__(self) -> None:
        self.requests: dict[tuple[str, str], int] = {}
        self.read = 0
        self.written = 0
        self.seconds: list[float] = []
        self.completions: list[int] = []

    def _add(self, verb: str, outcome: str, count: int, seconds: float) -> None:
        assert outcome in OUTCOMES
        self.requests[verb, outcome] = self.requests.get((verb, outcome), 0) + count
        self.seconds.append(seconds)

    def requested(
        self, verb: str, outcome: str, seconds: float, size: int = -1, moved: int = 0, count: int = 1
    ) -> None:
        self._add(verb, outcome, count, seconds)
        if verb == "GET":
            self.read += max(size, 0)
        else:
            self.written += max(size, 0) + moved

    def wrote(self, outcome: str, seconds: float, sizes: Sequence[int]) -> None:
        self._add("PUT", outcome, len(sizes), seconds)
        self.written += sum(sizes)

    def uploaded(self, outcome: str, seconds: float, size: int, requests: Mapping[str, int]) -> None:
        for verb, count in requests.items():
            self._add(verb, outcome, count, seconds)
        self.written += size

    def completed(self, seconds: float, size: int) -> None:
        self.completions.append(size)
        self.seconds.append(seconds)

    def downloaded(self, outcome: str, seconds: float, size: int) -> None:
        self._add("GET", outcome, 1, seconds)
        self.read += size

    def by_verb(self) -> dict[str, int]:
        verbs = sorted({verb for verb, _ in self.requests})
        return {verb: sum(n for (each, _), n in self.requests.items() if each == verb) for verb in verbs}


class TestObservedStore(ObjectStoreContract):
    """The contract holds for it."""

    large = 9 * MIB + 12_345

    @pytest.fixture
    async def store(self) -> AsyncIterator[ObjectStore]:
        store = ObservedStore(MemoryStore(), Recorder())
        yield store
        await store.aclose()


async def _chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // MIB):
        yield b"x" * MIB
    yield b"y" * (size % MIB)


async def test_what_is_told_agrees_with_the_meter() -> None:
    """Every operation, with requests that fail among them: the same requests by verb and the same bytes."""
    meter, recorder = MeteredStore(MemoryStore()), Recorder()
    store = ObservedStore(meter, recorder)
    await store.check()
    first = await store.put("a/1", b"12345", condition=IF_ABSENT)
    for refused in (store.put("a/1", b"123", condition=IF_ABSENT), store.put("a/1", b"1", condition=IF_ABSENT)):
        with pytest.raises(PreconditionFailed):
            await refused
    await store.put_many([Put("a/2", b"22"), Put("a/3", b""), Put("a/1", b"x" * 10, IF_ABSENT)])
    assert (await store.get("a/1")).etag == first.etag
    for missing in (store.get("none"), store.stat("none")):
        with pytest.raises(ObjectNotFound):
            await missing
    await store.list("a/", limit=2)
    await store.stat("a/2")
    await store.copy("a/1", "b/1")
    await store.set_tags("b/1", {"k": "v"})
    await store.get_tags("b/1")
    await store.put_stream("s/small", _chunks(3))
    await store.put_stream("s/large", _chunks(12 * MIB + 5), part_size=5 * MIB)
    async with store.get_stream("s/large", start=10, end=4 * MIB) as stream:
        assert sum([len(chunk) async for chunk in stream]) == 4 * MIB - 10
    with pytest.raises(ObjectNotFound):
        async with store.get_stream("none"):
            pass
    upload = await store.create_upload("u/1")
    part = await store.put_part("u/1", upload, 1, b"part")
    await store.complete_upload("u/1", upload, [(1, part)])
    await store.abort_upload("u/2", await store.create_upload("u/2"))
    await store.list_uploads("u/")
    await store.delete("a/1")
    await store.delete_many([])
    await store.delete_many([f"x/{n}" for n in range(1001)])
    assert recorder.by_verb() == dict(sorted(meter.totals.requests.items()))
    assert (recorder.read, recorder.written) == (meter.totals.bytes_read, meter.totals.bytes_written)
    assert recorder.completions == [4], "the other was aborted"
    assert recorder.requests["PUT", "precondition-failed"] == 3
    assert recorder.requests["GET", "not-found"] == 2 and recorder.requests["HEAD", "not-found"] == 1


async def test_a_failure_has_its_outcome() -> None:
    """What the store refuses is told apart from what it does not answer, and from what the caller gave up."""
    recorder = Recorder()
    busy = ObservedStore(FaultyStore(MemoryStore(), FaultRates(busy=1.0), seed=1), recorder)
    for call in (busy.get("k"), busy.put("k", b"1")):
        with pytest.raises(StoreBusy):
            await call
    assert recorder.requests == {("GET", "busy"): 1, ("PUT", "busy"): 1}

    class Silent(MemoryStore):
        async def check(self) -> None:
            await asyncio.Event().wait()

    waiting = asyncio.create_task(ObservedStore(Silent(), recorder).check())
    await asyncio.sleep(0.02)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert recorder.requests["HEAD", "cancelled"] == 1
    assert recorder.seconds[-1] >= 0.01


async def test_gets_of_one_statement_are_told_one_by_one(tmp_path: Path) -> None:
    """The embedded store answers several at once; each has its own outcome and size."""
    recorder = Recorder()
    store = ObservedStore(await EmbeddedStore.open(tmp_path), recorder)
    try:
        await store.put("a", b"12345")
        await store.put("b", b"123")
        answers = await store.get_many(("a", "x", "b"))
        assert isinstance(answers[1], ObjectNotFound)
        assert (recorder.requests["GET", "ok"], recorder.requests["GET", "not-found"], recorder.read) == (2, 1, 8)
    finally:
        await store.aclose()
