"""Seeded random numbers, and what is drawn with them: the same in every process and version of Python."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from random import Random
from typing import TypeVar

T = TypeVar("T")

ZONE = timezone(timedelta(hours=-5))


class Draws:
    """A sequence of draws that `names` alone decide, such as ("seed", 4, "patient", 17)."""

    __slots__ = ("_bits", "_random")

    def __init__(self, *names: object) -> None:
        source = Random("/".join(map(str, names)))
        self._random = source.random
        self._bits = source.getrandbits

    def below(self, count: int) -> int:
        """0 to count - 1, each as likely."""
        return int(self._random() * count)

    def between(self, low: float, high: float, *, digits: int = 1) -> float:
        """A value from low to high with so many digits after the point."""
        return round(low + (high - low) * self._random(), digits)

    def chance(self, likelihood: float) -> bool:
        """True that often."""
        return self._random() < likelihood

    def one(self, of: Sequence[T]) -> T:
        """Any, each as likely."""
        return of[int(self._random() * len(of))]

    def common(self, of: Sequence[T]) -> T:
        """Any; the first ones are the most common."""
        drawn = self._random()
        return of[int(drawn * drawn * len(of))]

    def uuid(self) -> str:
        """An id as Synthea makes them."""
        digits = f"{self._bits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def moments(self, count: int, *, first_year: int, years: int) -> list[datetime]:
        """So many moments in that time, in order."""
        begin = datetime(first_year, 1, 1, tzinfo=ZONE)
        minutes = sorted(self.below(years * 525_600) for _ in range(count))
        return [begin + timedelta(minutes=minute, seconds=self.below(60)) for minute in minutes]


def when(moment: datetime, *, minutes: int = 0) -> str:
    """The moment, or so many minutes after it, as a FHIR instant without a fraction."""
    return (moment + timedelta(minutes=minutes)).isoformat()
