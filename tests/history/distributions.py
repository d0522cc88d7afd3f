"""How events may lie in time: names of 200,000 of them, sorted, the same in every run."""

from __future__ import annotations

import random
from collections.abc import Callable

NOW = 1_763_611_897_123
DAY = 86_400_000
MONTHS = 180 * DAY
MANY = 200_000


def steady(count: int = MANY) -> list[int]:
    """At any time within half a year."""
    dice = random.Random(1)
    return sorted(NOW - dice.randrange(MONTHS) for _ in range(count))


def bursts(count: int = MANY) -> list[int]:
    """Nine in ten come in bursts of 10 to 16,000 that last from a millisecond to hours."""
    dice = random.Random(2)
    times = [NOW - dice.randrange(MONTHS) for _ in range(count // 10)]
    while len(times) < count:
        size = min(int(10 ** dice.uniform(1, 4.2)), count - len(times))
        length = int(10 ** dice.uniform(0, 7))
        begin = NOW - length - dice.randrange(MONTHS)
        times += [begin + dice.randrange(length + 1) for _ in range(size)]
    return sorted(times)


def import_then_daily_work(count: int = MANY) -> list[int]:
    """Nearly all of it was loaded within ten minutes, half a year ago."""
    dice = random.Random(3)
    times = [NOW - dice.randrange(MONTHS - 10 * DAY) for _ in range(count // 100)]
    return sorted(times + [NOW - MONTHS + dice.randrange(600_000) for _ in range(count - len(times))])


def daily_work_then_import(count: int = MANY) -> list[int]:
    """Nearly all of it was loaded just now."""
    dice = random.Random(4)
    times = [NOW - dice.randrange(MONTHS) for _ in range(count // 100)]
    return sorted(times + [NOW - dice.randrange(600_000) for _ in range(count - len(times))])


DISTRIBUTIONS: tuple[Callable[[], list[int]], ...] = (steady, bursts, import_then_daily_work, daily_work_then_import)


def type_event(t: int, number: int) -> str:
    """The name of an event in a type's history."""
    return f"{t:013d}_x{number:07d}_1_POST-01AB.json"
