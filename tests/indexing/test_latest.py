"""Runs are shared, one at a time, and answer only those who asked before they began."""

from __future__ import annotations

import asyncio
import gc

import pytest

from fhirstore.indexing.latest import Latest


async def test_a_run_answers_those_who_asked_before_it_began() -> None:
    """Who asks during a run waits for the next one; all who ask meanwhile share it."""
    began: list[int] = []
    asked = 0

    async def work() -> None:
        began.append(asked)
        await asyncio.sleep(0.001)

    async def ask(latest: Latest) -> None:
        nonlocal asked
        asked += 1
        mine = asked
        await latest.run()
        assert began[-1] >= mine

    latest = Latest(work)
    for _ in range(3):
        await asyncio.gather(*[ask(latest) for _ in range(50)])
    assert len(began) <= 6
    await latest.aclose()


async def test_one_run_at_a_time() -> None:
    """Also where somebody asks at the very moment between two runs."""
    running = most = 0

    async def work() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(6):
            await asyncio.sleep(0)
        running -= 1

    latest = Latest(work)

    async def ask(after: int, times: int) -> None:
        for _ in range(after):
            await asyncio.sleep(0)
        for _ in range(times):
            await latest.run()

    for turns in range(3, 30):
        await asyncio.gather(ask(0, 2), ask(3, 1), ask(turns, 1))
    assert most == 1
    await latest.aclose()


async def test_a_run_that_fails_when_nobody_waits_is_not_reported() -> None:
    """Whoever waits is told; asyncio has nothing to log when all are gone."""
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    async def work() -> None:
        await asyncio.sleep(0.01)
        raise RuntimeError("it failed")

    latest = Latest(work)
    with pytest.raises(RuntimeError):
        await latest.run()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await latest.run()
    await asyncio.sleep(0.03)
    del latest
    gc.collect()
    assert reported == []
