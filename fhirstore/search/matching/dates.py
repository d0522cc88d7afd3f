"""Dates: each value is a span of time, and a prefix compares two spans.

`2024` is the whole year, an instant one millisecond; a Period without an end goes on for ever; of a Timing, only the
outer limits count. Dates and times without a zone are in UTC.

| prefix | the resource's span |
|---|---|
| `eq` | lies within the span searched for (`ne`: does not) |
| `gt`, `lt` | has a part after its end, before its start |
| `ge`, `le` | the same, or lies within it |
| `sa`, `eb` | lies after its end, before its start |
| `ap` | overlaps with it, extended on both sides by a tenth of the time between it and now |

https://hl7.org/fhir/R4/search.html#date · https://hl7.org/fhir/R4/search.html#prefix
"""

from __future__ import annotations

from collections.abc import Callable

from fhirstore.fhir.search_parameters.values import span_of
from fhirstore.fhir.times import span
from fhirstore.search.criteria.prefixes import split_prefix


def date_test(text: str, *, now: int) -> Callable[[object], bool]:
    """Returns the test of an element for one value searched for. `now`: epoch ms. Raises ValueError."""
    compare = _comparison(*sought_date(text, now=now))

    def test(value: object) -> bool:
        found = span_of(value)
        return found is not None and compare(*found)

    return test


def sought_date(text: str, *, now: int) -> tuple[str, int, int]:
    """Returns the prefix of a date searched for and its span, extended for `ap`. Raises ValueError."""
    prefix, date = split_prefix(text)
    start, end = span(date)
    if prefix == "ap":
        reach = abs(now - start) // 10
        start, end = start - reach, end + reach
    return prefix, start, end


def _comparison(prefix: str, start: int, end: int) -> Callable[[int, int], bool]:
    """Returns whether the span of a value, from `a` until before `b`, is as the prefix wants it."""
    match prefix:
        case "eq":
            return lambda a, b: start <= a and b <= end
        case "ne":
            return lambda a, b: a < start or b > end
        case "gt":
            return lambda a, b: b > end
        case "lt":
            return lambda a, b: a < start
        case "ge":
            return lambda a, b: b > end or (start <= a and b <= end)
        case "le":
            return lambda a, b: a < start or (start <= a and b <= end)
        case "sa":
            return lambda a, b: a >= end
        case "eb":
            return lambda a, b: b <= start
        case _:  # ap
            return lambda a, b: a < end and b > start
