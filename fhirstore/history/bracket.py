"""Where a LIST must start so that it returns the newest events: a search that narrows a bracket. Pure.

The bracket has two ends. `reach`: a LIST from before it was cut off there, so the start is after it. `empty`: no event
follows it, so the start is before it. Two kinds of guesses alternate, because the density of the events is not known:

* from the top: so far back that `aim` events are expected;
* from `reach`: so far ahead that `aim` events are skipped.

A second guess of either kind goes to the geometric mean of that width and the whole bracket, which halves the *digits*
in doubt. From `reach`, every second guess after that goes to the middle. When no guess helps, the LIST goes on from
`reach`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_WIDEN = 16
_FUTURE = 10**13
_GEOMETRIC, _MIDDLE = 1, 2  # values of `Bracket.tried`: the next guess from `reach`; 0: skip `aim` events


def position(t: float) -> str:
    """Returns the position before all events of the millisecond `t`."""
    return f"{max(0, min(int(t), _FUTURE - 1)):013d}"


def time_of(position: str) -> int:
    """Returns the time of a position, epoch ms."""
    return int(position[:13]) if position else 0


@dataclass(slots=True)
class Bracket:
    """The bracket, and what the LISTs so far have shown.

    `top`: the upper end of the window, epoch ms. `floor`: the query asks for nothing before it. `aim`: the number of
    events that a window should hold. `pace`: ms per event where a LIST was cut off. `tried`: which guess ahead of
    `reach` is next. `reach` is always before `empty`, so there is always a guess that is admitted.
    """

    top: int
    floor: str
    aim: int
    reach: str
    pace: float | None = None
    tried: int = 0
    empty: str | None = None
    _from_top: bool = False

    def back(self, pace: float, start: str) -> str:
        """Returns a position so far back that `aim` events are expected, and well before `start`."""
        width = self.aim * pace
        if start > self.floor:
            width = max(width, 2 * (self.top - time_of(start)))
        return max(self.floor, position(self.top - max(1, width)))

    def admits(self, start: str) -> bool:
        """Is the start within the bracket?"""
        return self.reach <= start and (self.empty is None or start < self.empty)

    def guess(self) -> str:
        """Returns where to start next."""
        self._from_top = not self._from_top
        narrow = 1 if self.empty is None else max(1, self.top - time_of(self.empty))
        if self.pace is None:
            width = float(narrow * _WIDEN)
        elif self._from_top:
            width = self.aim * self.pace
            if width <= narrow:
                width = math.sqrt(narrow * max(1, self.top - time_of(self.reach)))
        else:
            return self.ahead(self.empty)
        start = position(self.top - width)
        return start if self.reach < start and self.admits(start) else self.reach

    def ahead(self, before: str | None) -> str:
        """Returns a position ahead of `reach` and before `before`; `reach` itself if there is none."""
        left = (self.top if before is None else time_of(before)) - time_of(self.reach)
        width = self.aim * (self.pace or 0.0)
        if width < 1:
            return self.reach  # one ms has more events than a window: the LIST must go on from there
        if self.tried == _MIDDLE:
            width = left / 2
        elif self.tried or width >= left:
            width = math.sqrt(max(0.0, min(width, left) * left))
        self.tried = _GEOMETRIC if self.tried == _MIDDLE else self.tried + 1
        start = position(time_of(self.reach) + width)
        return start if self.reach < start and self.admits(start) and (before is None or start < before) else self.reach

    def lower(self, start: str, count: int) -> str:
        """Returns a position before `start`, because only `count` events follow `start`."""
        if self.reach > self.floor:
            return self.ahead(start)
        factor = max(2.0, min(64.0, self.aim / count))
        return max(self.floor, position(self.top - max(1, self.top - time_of(start)) * factor))

    def cut_off(self, names: Sequence[str]) -> None:
        """Takes note that a LIST was cut off: it ended with `names`, before the upper end."""
        self.reach = names[len(names) * 3 // 4]  # the next LIST starts here, so that it overlaps with this one
        half = names[len(names) // 2 :]
        self.pace = max(1, time_of(half[-1]) - time_of(half[0])) / len(half)
        if self.empty is not None and self.empty <= self.reach:
            self.empty = None  # an event follows it: it is new, or the outlook was wrong

    def nothing_after(self, start: str) -> None:
        """Takes note that a LIST from `start` returned nothing."""
        self.empty = start
        if start <= self.reach:  # the events that an earlier search has seen there are gone
            self.reach, self.pace = self.floor, None
