"""Dates, numbers and quantities: ranges of the index, for each prefix.

Rows are clustered by where they begin. A row that is no longer than a day (a point, of numbers) begins near its end, so
both bounds of what is sought limit where it begins; the `wide` ones are looked through from one bound only.

https://hl7.org/fhir/R4/search.html#prefix
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from fhirstore.index.local.catalogue import Indexed
from fhirstore.index.local.decimals import AT, JUST_ABOVE, JUST_BELOW, sort_key
from fhirstore.index.local.rows import DAY
from fhirstore.search.criteria.token import unescaped
from fhirstore.search.matching.dates import sought_date
from fhirstore.search.matching.numbers import Sought
from fhirstore.search.plans.sources import Binder, Source, all_tests


def date_sources(indexed: Indexed, texts: Sequence[str], *, now: int) -> Iterator[tuple[Source, bool]]:
    """Yields sources of rows that pass what all of the texts demand, each with whether it is worth driving.

    `now`: epoch ms, for `ap`. Raises ValueError.
    """
    sought = [sought_date(unescaped(text), now=now) for text in texts]
    test = all_tests([f"({_DATE_TESTS[prefix].format(s=start, e=end)})" for prefix, start, end in sought])
    ranges = [(prefix, *_DATE_STARTS[prefix](start, end)) for prefix, start, end in sought]
    for wide in (0, 1):
        lows = [low for prefix, low, _ in ranges if low is not None and not (wide and prefix in _BY_END)]
        highs = [high for _, _, high in ranges if high is not None]
        where = f"{{x}}.pid = {indexed.pid} AND {{x}}.wide = {wide}"
        where += f" AND {{x}}.low >= {max(lows)}" if lows else ""
        where += f" AND {{x}}.low < {min(highs)}" if highs else ""
        yield Source("date", f"{where} AND {test}"), any(prefix != "ne" for prefix, *_ in sought)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Numbers in any of these units, 0 where there is none, that pass what all of `sought` demand."""

    units: tuple[int, ...]
    sought: tuple[Sought, ...]

    @property
    def bounded(self) -> bool:
        """Whether they are worth driving."""
        return any(one.prefix != "ne" for one in self.sought)

    def sources(self, indexed: Indexed, bind: Binder) -> Iterator[tuple[Source, bool]]:
        """Yields the sources of their rows, each with whether it is worth driving."""
        yield Source("number", f"{self._of(indexed, 0, bind)} AND {self.of_points(bind)}"), self.bounded
        yield self.wide(indexed, bind), self.bounded

    def wide(self, indexed: Indexed, bind: Binder) -> Source:
        """Returns the source of those that are no points."""
        return Source("number", f"{self._of(indexed, 1, bind)} AND {self._test(bind)}")

    def of_points(self, bind: Binder) -> str:
        """Returns the test of rows of points, by their `low` alone."""
        return self._test(bind).replace("{x}.high", "{x}.low")

    def _test(self, bind: Binder) -> str:
        return all_tests([f"({_number_test(one, bind)})" for one in self.sought])

    def _of(self, indexed: Indexed, wide: int, bind: Binder) -> str:
        units = self.units
        of_unit = f"{{x}}.unit = {bind(units[0])}" if len(units) == 1 else f"{{x}}.unit IN {bind.any_of(units)}"
        return f"{{x}}.pid = {indexed.pid} AND {of_unit} AND {{x}}.wide = {wide}"


_DATE_TESTS = {
    "eq": "{{x}}.low >= {s} AND {{x}}.high <= {e}",
    "ne": "{{x}}.low < {s} OR {{x}}.high > {e}",
    "gt": "{{x}}.high > {e}",
    "lt": "{{x}}.low < {s}",
    "ge": "{{x}}.high > {e} OR ({{x}}.low >= {s} AND {{x}}.high <= {e})",
    "le": "{{x}}.low < {s} OR ({{x}}.low >= {s} AND {{x}}.high <= {e})",
    "sa": "{{x}}.low >= {e}",
    "eb": "{{x}}.high <= {s}",
    "ap": "{{x}}.low < {e} AND {{x}}.high > {s}",
}
_DATE_STARTS: dict[str, Callable[[int, int], tuple[int | None, int | None]]] = {
    "eq": lambda s, e: (s, e + 1),
    "ne": lambda s, e: (None, None),
    "gt": lambda s, e: (e - DAY, None),
    "lt": lambda s, e: (None, s),
    "ge": lambda s, e: (min(s, e - DAY), None),
    "le": lambda s, e: (None, e + 1),
    "sa": lambda s, e: (e, None),
    "eb": lambda s, e: (None, s + 1),
    "ap": lambda s, e: (s - DAY, e),
}
"""Where the starts of spans lie that can pass: from, until before. For those of at most a day; see `_dates`."""


_BY_END = ("gt", "ge", "ap")
"""Prefixes that a span may pass by its end, however early it starts."""


def _number_test(sought: Sought, bind: Binder) -> str:
    def key(number: Decimal, place: bytes) -> str:
        return bind(sort_key(number, place))

    number, low, high = sought.number, sought.low, sought.high
    match sought.prefix:
        case "eq":
            return f"{{x}}.low >= {key(low, JUST_BELOW)} AND {{x}}.high < {key(high, JUST_BELOW)}"
        case "ne":
            return f"{{x}}.low < {key(low, JUST_BELOW)} OR {{x}}.high >= {key(high, JUST_BELOW)}"
        case "gt":
            return f"{{x}}.high > {key(number, JUST_ABOVE)}"
        case "lt":
            return f"{{x}}.low < {key(number, JUST_BELOW)}"
        case "ge":
            return f"{{x}}.high >= {key(number, AT)}"
        case "le":
            return f"{{x}}.low <= {key(number, AT)}"
        case "sa":
            return f"{{x}}.low > {key(number, AT)}"
        case "eb":
            return f"{{x}}.high < {key(number, AT)}"
    return f"{{x}}.low <= {key(high, JUST_ABOVE)} AND {{x}}.high >= {key(low, JUST_BELOW)}"
