"""Short readings of an index run on the event loop, long ones in threads: none holds up the loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest

from fhirstore.index.local.apply import Applying, Prepared
from fhirstore.index.local.connections import TakesLonger
from fhirstore.index.local.reader import Reader
from fhirstore.objects.memory import MemoryStore
from fhirstore.search.pages import finding
from fhirstore.search.pages.finding import bounded
from tests.indexing.machines import machine, patient

_COUNT = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT count(*) FROM n"
LONG, SHORT = 400_000, 3


def counting(upto: int, threads: list[int]) -> Callable[[Reader], int]:
    """A reading that takes as long as counting; the threads that it began in are noted."""

    def do(reader: Reader) -> int:
        threads.append(threading.get_ident())
        ((found,),) = reader.rows(_COUNT, (upto,))
        assert isinstance(found, int)
        return found

    return do


async def test_what_takes_long_is_read_in_a_thread(tmp_path: Path) -> None:
    """It is begun at once, interrupted, and read in a thread; the next one of its kind is not even begun at once."""
    here = threading.get_ident()
    async with machine(MemoryStore(), tmp_path / "a") as one:
        await one.clinic.update(patient("p", "Short"))
        await one.search("Patient", "family=short")
        short: list[int] = []
        assert await one.indexer.read(counting(SHORT, short), like="short") == SHORT
        assert short == [here]
        long: list[int] = []
        assert await one.indexer.read(counting(LONG, long), like="long") == LONG
        assert (long[0], len(long)) == (here, 2)
        assert long[1] != here
        again: list[int] = []
        assert await one.indexer.read(counting(LONG, again), like="long") == LONG
        assert len(again) == 1
        assert again[0] != here
        other: list[int] = []
        assert await one.indexer.read(counting(SHORT, other), like="short") == SHORT
        assert other == [here]


async def test_what_a_reading_raises_is_raised(tmp_path: Path) -> None:
    """Once: an error is no reason to read in a thread."""
    calls = 0

    def do(reader: Reader) -> None:
        nonlocal calls
        calls += 1
        raise LookupError

    async with machine(MemoryStore(), tmp_path / "a") as one:
        await one.search("Patient", "")
        with pytest.raises(LookupError):
            await one.indexer.read(do)
    assert calls == 1


async def test_the_loop_never_opens_a_connection(tmp_path: Path) -> None:
    """Where all connections are in use, a reading goes to a thread, which opens another."""
    async with machine(MemoryStore(), tmp_path / "a") as one:
        await one.search("Patient", "")
        file = one.indexer.opened()
        with file.read_at_once(1.0, 8.0) as reader:
            assert reader.hurried
            with pytest.raises(TakesLonger), file.read_at_once(1.0, 8.0):
                pass
            threads: list[int] = []
            assert await one.indexer.read(counting(SHORT, threads)) == SHORT
            assert threads[0] != threading.get_ident()


async def test_searches_do_not_wait_for_a_batch(tmp_path: Path) -> None:
    """While one batch is applied, others read."""
    async with machine(MemoryStore(), tmp_path / "a") as one:
        await one.search("Patient", "")
        file = one.indexer.opened()
        begun, done = threading.Event(), threading.Event()

        def hold() -> None:
            def wait(applying: Applying, ready: list[Prepared]) -> None:
                begun.set()
                assert done.wait(60)

            file.without_keeping([], wait)

        holding = asyncio.create_task(asyncio.to_thread(hold))
        try:
            await asyncio.to_thread(begun.wait, 60)
            async with asyncio.timeout(30):
                assert await one.indexer.read(counting(SHORT, [])) == SHORT
        finally:
            done.set()
            await holding


async def test_what_nobody_waits_for_any_more_is_ended(tmp_path: Path) -> None:
    """The thread is free for others soon, however long the search would have taken."""
    begun, ended = threading.Event(), threading.Event()

    def do(reader: Reader) -> None:
        try:
            with bounded(reader):
                begun.set()
                reader.rows(_COUNT, (10**12,))
        finally:
            ended.set()

    endless = patch.multiple(finding, _MOST_SECONDS=10**6, _MOST_STEPS=10**12)
    async with machine(MemoryStore(), tmp_path / "a") as one:
        with endless:
            reading = asyncio.create_task(one.indexer.read(do, short=False))
            assert await asyncio.to_thread(begun.wait, 60)
            reading.cancel()
            assert await asyncio.to_thread(ended.wait, 60)
        with pytest.raises(asyncio.CancelledError):
            await reading


async def test_one_long_reading_does_not_send_its_kind_to_threads(tmp_path: Path) -> None:
    """Most of that kind are short; where several are long, those after them are read in threads until short again."""
    here = threading.get_ident()
    async with machine(MemoryStore(), tmp_path / "a") as one:
        await one.search("Patient", "")

        async def places(upto: int) -> list[bool]:
            threads: list[int] = []
            await one.indexer.read(counting(upto, threads), like="mixed")
            return [thread == here for thread in threads]

        for _ in range(8):
            assert await places(SHORT) == [True]
        assert await places(LONG) == [True, False]
        assert await places(SHORT) == [True]
        for _ in range(2):
            await places(LONG)
        assert await places(LONG) == [False]
        found = [await places(SHORT) for _ in range(40)]
        assert found[0] == [False]
        assert found[-1] == [True]
