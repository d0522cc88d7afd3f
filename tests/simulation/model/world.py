"""Virtual time: a heap of things to come, a clock that jumps to the next of them, and the one source of chance.

Times are epoch milliseconds, with fractions so that few things happen at once; what does happens in the order asked.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from heapq import heappop, heappush
from typing import TypeVarTuple

_Args = TypeVarTuple("_Args")

BEGINNING = 1_700_000_000_000.0


class World:
    """One schedule's time, chance and findings. `trace` collects readable lines when it is a list.

    `heard`: what clients tell each other: the newest version of each id that any of them was told of.
    `asked`: identifiers' values that any of them created on.
    """

    __slots__ = ("_queue", "_sequence", "asked", "faults", "heard", "random", "requests", "time", "trace", "violations")

    def __init__(self, seed: int, trace: list[str] | None = None) -> None:
        self.time = BEGINNING
        self.random = random.Random(seed)
        self.requests = 0
        self.heard: dict[str, int] = {}
        self.asked: set[str] = set()
        self.faults: Counter[str] = Counter()
        self.violations: list[str] = []
        self.trace = trace
        self._queue: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
        self._sequence = 0

    def at(self, time: float, call: Callable[[*_Args], None], *args: *_Args) -> None:
        """Call it when the clock shows `time`."""
        self._sequence += 1
        heappush(self._queue, (time, self._sequence, call, args))

    def run(self, wanted: Callable[[], bool]) -> None:
        """Let time pass while it is `wanted`, something is to come, and nothing is wrong yet."""
        queue, violations = self._queue, self.violations
        while queue and not violations and wanted():
            self.time, _, call, args = heappop(queue)
            call(*args)

    def violated(self, finding: str) -> None:
        """A rule was broken: the schedule ends here."""
        self.violations.append(finding)
        self.note("VIOLATION", finding)

    def note(self, who: str, what: str) -> None:
        """One line of the trace."""
        if self.trace is not None:
            self.trace.append(f"{self.time - BEGINNING:11.1f}  {who:<9} {what}")
