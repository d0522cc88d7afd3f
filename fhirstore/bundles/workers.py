"""Many things to do, a few of them at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

_Item = TypeVar("_Item")


async def side_by_side(items: Iterable[_Item], do: Callable[[_Item], Awaitable[None]], *, at_once: int) -> None:
    """Do something to each, `at_once` of them under way; what `do` raises ends all.

    After each of them others of this process have their turn, however quick a store answers.
    """
    waiting = iter(items)

    async def one_after_another() -> None:
        for item in waiting:
            await do(item)
            await asyncio.sleep(0)  # what waited for nothing lets others go on, too

    async with asyncio.TaskGroup() as workers:
        for _ in range(at_once):
            workers.create_task(one_after_another())
