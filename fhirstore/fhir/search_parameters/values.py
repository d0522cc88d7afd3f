"""What is read out of elements for a search: spans of time, intervals of numbers, texts and how they are compared.

Shared by all that evaluates search parameters, so that a filter, an index and a test of one read the same.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

import re
import string
import unicodedata
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TypeAlias

from fhirstore.fhir.json import NumberLiteral
from fhirstore.fhir.times import span

Span: TypeAlias = tuple[int, int]
"""From a time until before another, epoch ms."""

EVER = 10**18
"""ms, beyond every date."""

RANGE_ENDS = ("low", "high")
"""The members of a Range."""
_LEAST, _MOST = Decimal("-Infinity"), Decimal("Infinity")
_PARTS = (
    *("family", "given", "prefix", "suffix", "text"),
    *("line", "city", "district", "state", "country", "postalCode"),
    *("display", "value"),
)
"""The members that are text of a HumanName, an Address, and of what else a string parameter may cover."""
_HYPHENS = re.compile("[-\u2010-\u2015]")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_LEFT_OUT = frozenset(("Mn", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po"))  # marks above and below letters; punctuation


@dataclass(frozen=True, slots=True)
class Interval:
    """Numbers from `low` to `high`; `low_open`, `high_open`: without that number itself."""

    low: Decimal
    high: Decimal
    low_open: bool = False
    high_open: bool = False


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
    first = span(start)[0] if isinstance(start, str) else -EVER
    last = span(end)[1] if isinstance(end, str) else EVER
    return (first, last) if first < last else None  # a period that ends before it starts is none


def _span_of_timing(value: dict[str, object]) -> Span | None:
    events, repeat = value.get("event"), value.get("repeat")
    spans = [span(event) for event in events if isinstance(event, str)] if isinstance(events, list) else []
    bounds = repeat.get("boundsPeriod") if isinstance(repeat, dict) else None
    if isinstance(bounds, dict) and (limits := _span_of_period(bounds)):
        spans.append(limits)
    return (min(start for start, _ in spans), max(end for _, end in spans)) if spans else None


def interval_of(value: object) -> Interval | None:
    """Returns the interval of a number, Quantity, Money or Range; None if it has none, or is malformed."""
    if not isinstance(value, dict):
        point = _decimal(value)
        return None if point is None else Interval(point, point)
    if "low" in value or "high" in value:
        low, high = (
            _decimal(end.get("value")) if isinstance(end := value.get(name), dict) else None for name in RANGE_ENDS
        )
        if low is None and high is None:
            return None
        return Interval(_LEAST if low is None else low, _MOST if high is None else high)
    point = _decimal(value.get("value"))
    if point is None:
        return None
    match value.get("comparator"):
        case "<":
            return Interval(_LEAST, point, high_open=True)
        case "<=":
            return Interval(_LEAST, point)
        case ">":
            return Interval(point, _MOST, low_open=True)
        case ">=":
            return Interval(point, _MOST)
    return Interval(point, point)


def _decimal(value: object) -> Decimal | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return Decimal(value)
    if isinstance(value, NumberLiteral):
        try:
            return Decimal(bytes(value).decode("ascii"))
        except (InvalidOperation, ValueError):
            return None
    return None


def normalized(text: str) -> str:
    """Returns a text without upper case, accents and punctuation, with single spaces."""
    if text.isascii():
        return " ".join(text.lower().translate(_NO_PUNCTUATION).split())
    apart = unicodedata.normalize("NFKD", text)
    kept = "".join(char for char in apart if unicodedata.category(char) not in _LEFT_OUT)
    return " ".join(unicodedata.normalize("NFC", kept.casefold()).translate(_NO_PUNCTUATION).split())


def words_of(text: str) -> str:
    """Returns its words, normalized, with a space before each; a hyphen separates words."""
    return " " + normalized(_HYPHENS.sub(" ", text))


def texts_of(value: object) -> list[str]:
    """Returns the texts of an element."""
    if isinstance(value, str):
        return [value]
    found: list[str] = []
    if isinstance(value, dict):
        for member in _PARTS:
            part = value.get(member)
            found += [one for one in (part if isinstance(part, list) else [part]) if isinstance(one, str)]
    return found
