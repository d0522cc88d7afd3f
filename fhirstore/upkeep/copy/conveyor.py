"""Works through pages of items in parallel, and knows up to which page all is done."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Position = TypeVar("Position")


@dataclass(slots=True)
class _Page(Generic[Position]):
    after: Position
    left: int


async def convey(
    pages: AsyncIterator[tuple[Sequence[Item], Position]],
    act: Callable[[Item], Awaitable[None]],
    *,
    at_once: int,
    done: Callable[[Position], None],
    stop: Callable[[], bool],
) -> bool:
    """Does `act` on every item, `at_once` at a time. Returns False where `stop` said so before the end.

    `done` is told the position after a page when that page and all before it are done. Holds two pages or so. The first
    error of `act` or `pages` ends all tasks, and is raised.
    """
    queue: asyncio.Queue[tuple[Item, _Page[Position]] | None] = asyncio.Queue(2 * at_once)
    open_: deque[_Page[Position]] = deque()
    stopped = False

    def advance() -> None:
        while open_ and open_[0].left == 0:
            done(open_.popleft().after)

    async def produce() -> None:
        nonlocal stopped
        async for items, after in pages:
            page = _Page(after, len(items))
            open_.append(page)
            advance()
            for item in items:
                await queue.put((item, page))
            if stop():
                stopped = True
                break
        for _ in range(at_once):
            await queue.put(None)

    async def work() -> None:
        while (next_ := await queue.get()) is not None:
            item, page = next_
            if stop():
                continue  # the page stays open, and is done again
            await act(item)
            page.left -= 1
            advance()

    tasks = [asyncio.create_task(produce()), *(asyncio.create_task(work()) for _ in range(at_once))]
    try:
        finished, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in finished:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return not (stopped or open_)
