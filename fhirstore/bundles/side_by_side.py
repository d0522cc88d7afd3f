"""Many things to do, a few of them at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

_Item = TypeVar("_Item")
_IN_A_TURN = 4


async def side_by_side(items: Iterable[_Item], do: Callable[[_Item], Awaitable[None]], *, at_once: int) -> None:
    """Do something to each, `at_once` of them under way; what `do` raises ends all.

    After a few of them others of this process have their turn, however quick a store answers.
    """
    waiting = iter(items)

    async def one_after_another() -> None:
        for number, item in enumerate(waiting, 1):
            await do(item)
            if number % _IN_A_TURN == 0:
                await asyncio.sleep(0)

    async with asyncio.TaskGroup() as workers:
        for _ in range(at_once):
            workers.create_task(one_after_another())
