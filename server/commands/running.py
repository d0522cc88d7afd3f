"""Runs a long command that sends: progress on standard error, a summary on standard output, the exit code."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeVar

import msgspec
from rich.console import Console, RenderableType

from server.commands.interruption import Interruption

_Progress = TypeVar("_Progress")
_Show = Callable[[_Progress], None]


class Summary(Protocol):
    """What a command did."""

    @property
    def ok(self) -> bool: ...
    def as_json(self) -> dict[str, object]: ...
    def render(self) -> RenderableType: ...


Showing = Callable[[float], AbstractAsyncContextManager[_Show[_Progress]]]
"""Shows progress in a block. The argument: seconds between two lines."""


def run(
    work: Callable[[_Show[_Progress], Interruption], Awaitable[Summary]],
    *,
    bar: Showing[_Progress],
    lines: Showing[_Progress],
    every: float,
    cannot: type[Exception],
    as_json: bool,
) -> int:
    """Does the work and prints its summary. Returns 0 where that is ok, else 1; 2 where the work raised `cannot`.

    Interrupted: 130 by SIGINT, 143 by SIGTERM. `bar` shows progress on a terminal, `lines` elsewhere.
    """

    async def go() -> tuple[Summary, Interruption]:
        interruption = Interruption()
        showing = bar if Console(stderr=True).is_terminal else lines
        with interruption.listening():
            async with showing(every) as show:
                return await work(show, interruption), interruption

    try:
        summary, interruption = asyncio.run(go())
    except cannot as error:
        sys.stderr.write(f"fhirstore: {error}\n")
        return 2
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(summary.as_json())).decode() + "\n")
    else:
        Console(soft_wrap=True).print(summary.render())
    if interruption.by is not None:
        return 128 + interruption.by
    return 0 if summary.ok else 1
