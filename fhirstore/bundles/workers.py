"""Processes many items, a few of them concurrently."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

_Item = TypeVar("_Item")


async def side_by_side(items: Iterable[_Item], do: Callable[[_Item], Awaitable[None]], *, at_once: int) -> None:
    """Calls `do` for each item, `at_once` calls at a time. An error that `do` raises cancels the others.

    After each call other tasks of this process continue, also when the store answers without waiting.
    """
    waiting = iter(items)

    async def one_after_another() -> None:
        for item in waiting:
            await do(item)
            await asyncio.sleep(0)  # `do` may never have waited

    async with asyncio.TaskGroup() as workers:
        for _ in range(at_once):
            workers.create_task(one_after_another())
