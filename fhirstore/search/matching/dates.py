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
from typing import TypeAlias

from fhirstore.fhir.times import span
from fhirstore.search.prefixes import split_prefix

Span: TypeAlias = tuple[int, int]
"""From a time until before another, epoch ms."""

_EVER = 10**18  # ms, beyond every date


def date_test(text: str, *, now: int) -> Callable[[object], bool]:
    """Returns the test of an element for one value searched for. `now`: epoch ms. Raises ValueError."""
    prefix, date = split_prefix(text)
    start, end = span(date)
    if prefix == "ap":
        reach = abs(now - start) // 10
        start, end = start - reach, end + reach
    compare = _comparison(prefix, start, end)

    def test(value: object) -> bool:
        found = span_of(value)
        return found is not None and compare(*found)

    return test


def span_of(value: object) -> Span | None:
    """Returns the span of a date, dateTime, instant, Period or Timing; None if it has none, or is malformed."""
    try:
        if isinstance(value, str):
            return span(value)
        if isinstance(value, dict):
            return _span_of_timing(value) if "event" in value or "repeat" in value else _span_of_period(value)
    except ValueError:
        pass
    return None


def _span_of_period(value: dict[str, object]) -> Span | None:
    start, end = value.get("start"), value.get("end")
    if not isinstance(start, str) and not isinstance(end, str):
        return None
    return span(start)[0] if isinstance(start, str) else -_EVER, span(end)[1] if isinstance(end, str) else _EVER


def _span_of_timing(value: dict[str, object]) -> Span | None:
    events, repeat = value.get("event"), value.get("repeat")
    spans = [span(event) for event in events if isinstance(event, str)] if isinstance(events, list) else []
    bounds = repeat.get("boundsPeriod") if isinstance(repeat, dict) else None
    if isinstance(bounds, dict) and (limits := _span_of_period(bounds)):
        spans.append(limits)
    return (min(start for start, _ in spans), max(end for _, end in spans)) if spans else None


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
