"""What pairs lead to: resources with a code and another value, where both are searched for, or one is sorted by.

See `fhirstore.index.local.pairs`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from fhirstore.index.local.catalogue import Indexed
from fhirstore.index.local.reader import Reader
from fhirstore.search.criteria.criterion import ByValue
from fhirstore.search.plans.conditions import Conditions
from fhirstore.search.plans.sources import At, Binder, Condition, Source

_MOST = 100
"""Pairings that are looked for together."""
_BESIDE = 9
"""The depth of a test that is part of a source: its aliases are no others' ones."""


Known: TypeAlias = tuple[Sequence[ByValue], Condition]
"""Criteria of one parameter with their condition."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Those of one search."""

    reader: Reader
    at: At
    bind: Binder
    now: int

    def pairings(self, code: Indexed, condition: Condition, other: Indexed) -> dict[int, list[int]]:
        """Returns the pairings of any of the codes of a condition with a parameter, by unit; none where what resources
        have of both is not paired. `code`: the parameter of the condition.
        """
        some = self.reader.catalogue.pairs(code.type) if condition.codes and code.type == other.type else ()
        if not any(one.code.pid == code.pid and one.other.pid == other.pid for one in some):
            return {}
        if code.type in self.reader.cut():
            return {}  # some resources have more pairs than are indexed
        found: dict[int, list[int]] = {}
        for hashed, system in condition.codes:
            for unit, number in self.reader.once(_pairings, code.pid, hashed, system, other.pid):
                found.setdefault(unit, []).append(number)
        return found

    def in_order(self, known: Sequence[Known], date: Indexed) -> Iterator[tuple[Condition, tuple[Source, ...]]]:
        """Yields conditions with the pairs of all that pass them and have such a date, in the order of `{x}.low`."""
        for (criterion, *_), condition in known:
            if found := self.pairings(criterion.indexed, condition, date).get(0, ()):
                yield condition, tuple(Source("pair", f"{{x}}.pairing = {self.bind(number)}") for number in found)

    def among(self, pairings: Sequence[int]) -> str:
        """Returns the right side of the test whether a row is of one of these pairings."""
        return f"= {self.bind(pairings[0])}" if len(pairings) == 1 else f"IN ({', '.join(map(self.bind, pairings))})"

    def together(self, known: Sequence[Known]) -> Iterator[Condition]:
        """Yields conditions that lead to the resources that pass two of these, and cover these."""
        for codes, condition in known:
            for (other, *_), beside in known if condition.codes else ():
                code = codes[0]
                match other.indexed.kind:
                    case "quantity":
                        yield from self._of_sizes(code.indexed, condition, other.indexed, beside)
                    case "reference" if other.modifier != "below":
                        yield from self._of_targets(code.indexed, condition, other, beside)

    def _of_targets(
        self, code: Indexed, condition: Condition, other: ByValue, beside: Condition
    ) -> Iterator[Condition]:
        pairings = self.pairings(code, condition, other.indexed).get(0, ())
        make = Conditions(self.reader, self.bind, self.now)
        targets = make.targets(other.indexed, other.modifier, other.texts) if pairings else ()
        if 0 < len(pairings) * len(targets) <= _MOST:
            sources = tuple(
                Source("pair", f"{{x}}.pairing = {self.bind(number)} AND {{x}}.low = {self.bind(one)}", ordered=True)
                for number in pairings
                for one in targets
            )
            yield Condition((), drives=sources, covers=(condition, beside))

    def _of_sizes(
        self, code: Indexed, condition: Condition, indexed: Indexed, beside: Condition
    ) -> Iterator[Condition]:
        sizes = beside.sizes
        pairings = self.pairings(code, condition, indexed)
        if not pairings:
            return
        numbers = [[number for unit in size.units for number in pairings.get(unit, ())] for size in sizes]
        if sum(map(len, numbers)) > _MOST or not all(size.bounded for size in sizes):
            return
        sources: list[Source] = []
        for some, size in zip(numbers, sizes, strict=True):
            if some:
                test = f"{{x}}.pairing {self.among(some)} AND {size.of_points(self.bind)}"
                sources.append(Source("pair", test))
            if self._has_wide(indexed, size.units):
                with_code = condition.test("{x}.rid", self.at, self.bind, _BESIDE)
                sources.append(Source("number", f"{size.wide(indexed, self.bind).test} AND {with_code}"))
        once = len(condition.codes) == 1 and beside.once
        yield Condition((), drives=tuple(sources), once=once, covers=(condition, beside))

    def _has_wide(self, indexed: Indexed, units: Sequence[int]) -> bool:
        """Returns whether there are, or were, quantities in one of these units whose size is no point: by seeks."""
        tables = ("number",) if self.at.newest else ("number", "number_old")
        query = "SELECT 1 FROM {} WHERE pid = ? AND unit = ? AND wide = 1 LIMIT 1"
        return any(self.reader.rows(query.format(one), (indexed.pid, unit)) for one in tables for unit in units)


def _pairings(connection: sqlite3.Connection, *pairing: int) -> list[tuple[int, int]]:
    """Returns the unit and the number of each pairing. `pairing`: its other columns."""
    query = "SELECT unit, number FROM pairing WHERE pid = ? AND code = ? AND system = ? AND other = ?"
    return connection.execute(query, pairing).fetchall()
