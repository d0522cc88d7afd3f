"""Dates, times of day and instants as FHIRPath orders them: by the instant, as far as both sides are precise.

FHIRPath compares precision by precision, from years (or hours) down, with time zones taken into account; seconds and
their fraction are one precision. Where one value stops earlier than the other and all before is equal, nothing is
known: None here, the empty collection there. A date has no time zone, nor has a literal without one. Against a value
that has one, the answer is known only if the value's own zone and UTC give the same.

https://hl7.org/fhirpath/N1/#comparison · https://hl7.org/fhirpath/N1/#datetime-equality
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TypeAlias

_MOMENT = re.compile(
    r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})(?:T([0-9]{2})(?::([0-9]{2})(?::([0-9]{2}(?:\.[0-9]+)?))?)?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})?)?)?)?"
)
_TIME_OF_DAY = re.compile(r"T?([0-9]{2})(?::([0-9]{2})(?::([0-9]{2}(?:\.[0-9]+)?))?)?")
_MINUTES_OF_A_DAY = 24 * 60

_Fields: TypeAlias = Sequence[int | Decimal]


@dataclass(frozen=True, slots=True)
class TimeOfDay:
    """Hour, minute and second, as many as are given."""

    fields: tuple[int | Decimal, ...]


@dataclass(frozen=True, slots=True)
class Moment:
    """A date, dateTime or instant. `fields`: year, month, day, hour, minute, second, as many as are given, as written.

    `utc`: the same in UTC; `fields` themselves where there is no time zone. `zoned`: whether there is one.
    """

    fields: tuple[int | Decimal, ...]
    utc: tuple[int | Decimal, ...]
    zoned: bool


def moment(text: str) -> Moment | None:
    """The moment that `text` writes; None where it writes none that exists."""
    match = _MOMENT.fullmatch(text)
    if match is None:
        return None
    *parts, zone = match.groups()
    fields = _fields(parts, seconds_at=5)
    year, month, day = (*map(int, fields[:3]), 1, 1)[:3]
    try:
        ordinal = date(year, month, day).toordinal()
    except ValueError:
        return None
    return Moment(fields, _in_utc(fields, ordinal, _minutes(zone)) if zone else fields, bool(zone))


def time_of_day(text: str) -> TimeOfDay | None:
    """The time of day that `text` writes; None where it writes none."""
    match = _TIME_OF_DAY.fullmatch(text)
    return TimeOfDay(_fields(match.groups(), seconds_at=2)) if match else None


def order(one: Moment, other: Moment) -> int | None:
    """-1, 0 or 1 as `one` is earlier than `other`, the same, or later; None where that is not known."""
    in_utc = _stepwise(one.utc, other.utc)
    return in_utc if one.zoned == other.zoned or in_utc == _stepwise(one.fields, other.fields) else None


def order_of_times(one: TimeOfDay, other: TimeOfDay) -> int | None:
    """The same for times of day."""
    return _stepwise(one.fields, other.fields)


def _stepwise(one: _Fields, other: _Fields) -> int | None:
    for left, right in zip(one, other, strict=False):
        if left != right:
            return -1 if left < right else 1
    return 0 if len(one) == len(other) else None


def _fields(parts: Sequence[str | None], *, seconds_at: int) -> tuple[int | Decimal, ...]:
    given = [part for part in parts if part is not None]
    return tuple(Decimal(part) if index == seconds_at else int(part) for index, part in enumerate(given))


def _minutes(zone: str) -> int:
    if zone == "Z":
        return 0
    minutes = int(zone[1:3]) * 60 + int(zone[4:6])
    return -minutes if zone.startswith("-") else minutes


def _in_utc(fields: _Fields, ordinal: int, offset: int) -> tuple[int | Decimal, ...]:
    """`fields`, an hour among them, moved by `offset` minutes. `ordinal`: of their day."""
    hour, minute = (*map(int, fields[3:5]), 0)[:2]
    days, minutes = divmod(hour * 60 + minute - offset, _MINUTES_OF_A_DAY)
    hour, minute = divmod(minutes, 60)
    return (*_calendar(ordinal + days), hour, minute, *fields[5:])[: len(fields)]


def _calendar(ordinal: int) -> tuple[int, int, int]:
    """Year, month and day; the days before the year 1 and after 9999 that a time zone leads to are one each."""
    if ordinal < 1:
        return 0, 12, 31
    if ordinal > date.max.toordinal():
        return date.max.year + 1, 1, 1
    day = date.fromordinal(ordinal)
    return day.year, day.month, day.day
