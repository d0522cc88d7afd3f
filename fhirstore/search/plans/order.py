"""The order of matches: by the sort keys, resources without a value last, then by `rid`: the oldest resource first.

Backwards, it is that of the page before. A position is the place of a match in it; it means the same in every index of
the tenant.

https://hl7.org/fhir/R4/search.html#sort
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cmp_to_key
from typing import Any, TypeAlias

from fhirstore.search.plans.sources import Binder

Key: TypeAlias = int | str | bytes | None
Row: TypeAlias = tuple[int, tuple[Key, ...]]
"""`rid` of a match, and its sort keys."""
_KINDS = (int, str, bytes)
"""The order of values of different kinds, as in SQLite."""


@dataclass(frozen=True, slots=True)
class Position:
    """The place of a match."""

    keys: tuple[Key, ...]
    rid: int


@dataclass(frozen=True, slots=True)
class Order:
    """`descending`: of each sort key."""

    descending: tuple[bool, ...] = ()
    backwards: bool = False

    @property
    def key(self) -> Callable[[Row], Any]:
        """What Python sorts and merges rows by."""
        return cmp_to_key(self.compare)

    def compare(self, one: Row, other: Row) -> int:
        """Returns less than 0 where one row comes before the other."""
        return -self._forwards(one, other) if self.backwards else self._forwards(one, other)

    def is_beyond(self, row: Row, place: Position | None) -> bool:
        """Returns whether a row comes after the place; None is the begin."""
        return place is None or self.compare(row, (place.rid, place.keys)) > 0

    def by(self, keys: Sequence[str], rid: str = "rid") -> str:
        """Returns the terms of ORDER BY. `keys`: the expressions of the sort keys."""
        terms = []
        for key, down in zip(keys, self.descending, strict=True):
            downwards = " DESC" if down is not self.backwards else ""
            terms.append(f"{key}{downwards} NULLS {'FIRST' if self.backwards else 'LAST'}")
        return ", ".join((*terms, f"{rid}{' DESC' if self.backwards else ''}"))

    def beyond(self, place: Position, keys: Sequence[str], bind: Binder, rid: str = "rid") -> str:
        """Returns the test whether a row comes after the place."""
        test = f"{rid} {'<' if self.backwards else '>'} {bind(place.rid)}"
        for key, value, down in reversed(list(zip(keys, place.keys, self.descending, strict=True))):
            if value is None:
                others = f"{key} IS NOT NULL OR " if self.backwards else ""
                test = f"({others}({key} IS NULL AND {test}))"
            else:
                bound = bind(value)
                missing = "" if self.backwards else f"{key} IS NULL OR "
                compared = "<" if down is not self.backwards else ">"
                test = f"({missing}{key} {compared} {bound} OR ({key} = {bound} AND {test}))"
        return test

    def _forwards(self, one: Row, other: Row) -> int:
        for left, right, down in zip(one[1], other[1], self.descending, strict=True):
            if left == right:
                continue
            if left is None or right is None:
                return 1 if left is None else -1
            # they are of two kinds where the parameters of several types are, or the cursor was made up
            kinds = _KINDS.index(type(left)), _KINDS.index(type(right))
            less = left < right if kinds[0] == kinds[1] else kinds[0] < kinds[1]  # type: ignore[operator]
            return (-1 if less else 1) * (-1 if down else 1)
        return (one[0] > other[0]) - (one[0] < other[0])
