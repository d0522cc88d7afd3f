"""Jobs have a share of the time while others are active, and all of it otherwise; a clock moved by hand tells it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from fhirstore.jobs.pace import Pacer


class Hand:
    """A clock, and a sleep, of a test. `loop`: seconds that others take in a turn of the loop. `slept`: in all."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.loop = 0.0
        self.slept = 0.0
        self.begun = 0
        self.under_way = 0

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.now += seconds or self.loop
        self.slept += seconds

    def activity(self) -> tuple[int, int]:
        return self.begun, self.under_way

    def pacer(self, *, activity: bool = True) -> Pacer:
        return Pacer(self.activity if activity else None, share=0.2, clock=self.clock, sleep=self.sleep)


async def _work(hand: Hand, pacer: Pacer, seconds: float, *, others: bool, times: int = 100) -> float:
    """Does work on the loop, so many times. Returns the part of the time that it took."""
    began = hand.now
    for _ in range(times):
        hand.begun += others
        await pacer.turn()
        at = hand.clock()
        hand.now += seconds
        pacer.spend(at)
    await pacer.turn()
    return times * seconds / (hand.now - began)


async def _pieces(hand: Hand, pacer: Pacer, seconds: float, *, others: bool, times: int = 100) -> float:
    """The same with requests to the store."""
    began = hand.now
    for _ in range(times):
        hand.begun += others
        async with pacer.piece():
            hand.now += seconds
    await pacer.turn()
    return times * seconds / (hand.now - began)


_Do = Callable[..., Awaitable[float]]


@pytest.mark.parametrize("do", [_work, _pieces])
@pytest.mark.parametrize("seconds", [0.000_05, 0.001, 0.004])
async def test_work_takes_its_share_while_others_are_active(do: _Do, seconds: float) -> None:
    """Of short pieces the pauses are added up."""
    hand = Hand()
    hand.under_way = 1
    assert await do(hand, hand.pacer(), seconds, others=False, times=1000) == pytest.approx(0.2, rel=0.05)


@pytest.mark.parametrize("do", [_work, _pieces])
async def test_work_takes_all_the_time_while_nobody_is_active(do: _Do) -> None:
    """No pause at all."""
    hand = Hand()
    assert await do(hand, hand.pacer(), 0.01, others=False) == pytest.approx(1.0)
    assert hand.slept == 0


@pytest.mark.parametrize("do", [_work, _pieces])
async def test_requests_that_come_one_by_one_keep_the_process_busy(do: _Do) -> None:
    """There is a request under way at no moment when it is looked; their count tells it."""
    hand = Hand()
    assert await do(hand, hand.pacer(), 0.002, others=True) == pytest.approx(0.2, rel=0.05)


async def test_work_goes_on_soon_after_the_last_request() -> None:
    """A tenth of a second later it has all the time again; a long pause ends then, too."""
    hand = Hand()
    pacer = hand.pacer()
    hand.begun += 1
    await pacer.turn()
    assert pacer.others_active()
    at = hand.clock()
    hand.now += 0.05
    pacer.spend(at)
    before = hand.now
    await pacer.turn()
    assert hand.now - before == pytest.approx(0.06)  # a pause of 0.2 s was due
    assert not pacer.others_active()
    assert await _work(hand, pacer, 0.01, others=False) == pytest.approx(1.0)


async def test_pieces_that_ran_at_once_leave_no_long_pause() -> None:
    """When others become active, what was done before is no reason to wait for more than 0.02 s."""
    hand = Hand()
    pacer = hand.pacer()
    await _most_at_once(hand, pacer, 1)
    hand.under_way = 1
    before = hand.now
    await pacer.turn()
    assert hand.now - before <= 0.021


async def test_a_job_goes_on_however_long_others_are_active() -> None:
    """Behind work there is a pause of 0.25 s at most, behind requests to a distant store of 0.02 s."""
    hand = Hand()
    hand.under_way = 1
    pacer = hand.pacer()
    assert await _work(hand, pacer, 1.0, others=False) == pytest.approx(1 / 1.25)
    assert await _pieces(hand, pacer, 0.03, others=False) == pytest.approx(0.03 / 0.05, rel=0.05)


async def _most_at_once(hand: Hand, pacer: Pacer, at_once: int) -> int:
    """Runs twenty pieces. Returns how many ran at a time, at most."""
    running = most = 0

    async def one() -> None:
        nonlocal running, most
        async with pacer.piece(at_once=at_once):
            running += 1
            most = max(most, running)
            await hand.sleep(0.001)
            running -= 1

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(one())
    return most


@pytest.mark.parametrize("at_once", [1, 4])
async def test_few_pieces_run_at_a_time_while_others_are_active(at_once: int) -> None:
    """All jobs of a worker together; otherwise as many as want to."""
    hand = Hand()
    assert await _most_at_once(hand, hand.pacer(), at_once) > 10
    hand.under_way = 1
    assert await _most_at_once(hand, hand.pacer(), at_once) == at_once


async def test_a_piece_that_fails_or_is_cancelled_makes_room() -> None:
    """The next one begins."""
    hand = Hand()
    hand.under_way = 1
    pacer = hand.pacer()
    with pytest.raises(ZeroDivisionError):
        async with pacer.piece():
            raise ZeroDivisionError
    gate = asyncio.Event()

    async def waiting() -> None:
        async with pacer.piece():
            await gate.wait()

    holds, waits = asyncio.create_task(waiting()), asyncio.create_task(waiting())
    for _ in range(10):
        await asyncio.sleep(0)
    for task in (waits, holds):
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    async with asyncio.timeout(20), pacer.piece():
        pass


async def test_without_a_count_turns_of_the_loop_tell_whether_others_are_active() -> None:
    """Some long ones among short ones do; a single one does not."""
    hand = Hand()
    pacer = hand.pacer(activity=False)
    for loop, active in ((0.0, False), (0.001, False), (0.001, True), (0.001, True), (0.0, True), (0.001, True)):
        hand.loop = loop
        await pacer.turn()
        assert pacer.others_active() == active
    hand.loop = 0.0
    for _ in range(4):
        await pacer.turn()
    assert not pacer.others_active()


async def test_without_a_count_pieces_make_room_for_a_look() -> None:
    """However many want to run at a time: others are found out within a second."""
    hand = Hand()
    hand.loop = 0.001
    pacer = hand.pacer(activity=False)
    running = most = 0
    seen: list[int] = []

    async def many() -> None:
        nonlocal running, most
        while hand.now < 1005:
            async with pacer.piece():
                running += 1
                seen.append(running)
                await hand.sleep(0.01)
                running -= 1

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(many())
    assert set(seen[-20:]) == {1}
