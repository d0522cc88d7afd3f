"""Runs many small tasks, a bounded number at a time, and fewer while the process has other things to do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TypeVar

from fhirstore.jobs.pace import Pacer

_Item = TypeVar("_Item")


_AT_ONCE_BESIDE_OTHERS = 4


async def each(items: Iterable[_Item], do: Callable[[_Item], Awaitable[None]], *, at_once: int, pacer: Pacer) -> None:
    """Does it for every item, beginning in their order; each is a piece for the pacer.

    The first error ends all, and is raised when all have ended.
    """
    left: Iterator[_Item] = iter(items)

    async def work() -> None:
        for item in left:  # shared by all workers, each takes the next one
            async with pacer.piece(at_once=_AT_ONCE_BESIDE_OTHERS):
                await do(item)

    workers = [asyncio.ensure_future(work()) for _ in range(at_once)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
