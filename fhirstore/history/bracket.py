"""Where to start a LIST so that it holds the newest events: pure.

Known is a place where a LIST was cut off (`reach`: start after it) and one that nothing new follows (`empty`: start
before it). Two guesses take turns between them, since nobody knows where the events crowd. Seen from the top: so far
back that `aim` events are expected. Seen from `reach`: so far ahead that `aim` events are passed. At the second try,
either goes to the geometric middle between that width and all that is left, which halves the *digits* in doubt; from
`reach`, every other try goes to the middle itself. Where neither makes sense any more, the LIST goes on from `reach`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_WIDEN = 16
_FUTURE = 10**13
_GEOMETRIC, _MIDDLE = 1, 2  # what `Bracket.tried` says to try next; 0: so far ahead that `aim` events are passed


def position(t: float) -> str:
    """Before all events of the ms `t`."""
    return f"{max(0, min(int(t), _FUTURE - 1)):013d}"


def time_of(position: str) -> int:
    """The time of a place, epoch ms."""
    return int(position[:13]) if position else 0


@dataclass(slots=True)
class Bracket:
    """`top`: epoch ms, the upper end. `floor`: nothing before it is asked for. `aim`: events to expect in a window.

    `pace`: ms per event where a LIST was cut off. `tried`: which place ahead of `reach` is next.
    `reach` stays before `empty`, so there is always a guess that is admitted.
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
        """So far back that `aim` events are expected, and some way before `start`."""
        width = self.aim * pace
        if start > self.floor:
            width = max(width, 2 * (self.top - time_of(start)))
        return max(self.floor, position(self.top - max(1, width)))

    def admits(self, start: str) -> bool:
        """Is there something to learn from a LIST from here?"""
        return self.reach <= start and (self.empty is None or start < self.empty)

    def guess(self) -> str:
        """Where to start next."""
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
        """Some way ahead of `reach`, and before `before`."""
        left = (self.top if before is None else time_of(before)) - time_of(self.reach)
        width = self.aim * (self.pace or 0.0)
        if width < 1:
            return self.reach  # one ms holds more than a window does: only going on helps
        if self.tried == _MIDDLE:
            width = left / 2
        elif self.tried or width >= left:
            width = math.sqrt(max(0.0, min(width, left) * left))
        self.tried = _GEOMETRIC if self.tried == _MIDDLE else self.tried + 1
        start = position(time_of(self.reach) + width)
        return start if self.reach < start and self.admits(start) and (before is None or start < before) else self.reach

    def lower(self, start: str, count: int) -> str:
        """A place before `start`, which only `count` events follow."""
        if self.reach > self.floor:
            return self.ahead(start)
        factor = max(2.0, min(64.0, self.aim / count))
        return max(self.floor, position(self.top - max(1, self.top - time_of(start)) * factor))

    def cut_off(self, names: Sequence[str]) -> None:
        """A LIST ended with `names`, short of the upper end."""
        self.reach = names[len(names) * 3 // 4]  # going on from here joins on to some that are older
        half = names[len(names) // 2 :]
        self.pace = max(1, time_of(half[-1]) - time_of(half[0])) / len(half)
        if self.empty is not None and self.empty <= self.reach:
            self.empty = None  # something follows it: it has come since, or an outlook was not true

    def nothing_after(self, start: str) -> None:
        """A LIST from `start` found nothing."""
        self.empty = start
        if start <= self.reach:  # what an earlier search knew to follow is gone
            self.reach, self.pace = self.floor, None
