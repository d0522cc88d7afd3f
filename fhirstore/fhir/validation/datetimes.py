"""Dates, times of day and instants in the order of FHIRPath: by the instant, as far as both sides are precise.

FHIRPath compares precision by precision, from years (or hours) down, with time zones taken into account; seconds and
their fraction are one precision. If one value is less precise than the other and all before is equal, the result is
unknown: None here, the empty collection in FHIRPath. A date has no time zone, and neither has a literal without one.
Against a value with a zone the result is known only if the value's own zone and UTC give the same.

https://hl7.org/fhirpath/N1/#comparison · https://hl7.org/fhirpath/N1/#datetime-equality
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TypeAlias

_DATE_TIME = re.compile(
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
class DateTime:
    """A date, dateTime or instant. `fields`: year, month, day, hour, minute, second, as many as are given, as written.

    `utc`: the same in UTC, or `fields` if there is no time zone. `zoned`: whether there is a time zone.
    """

    fields: tuple[int | Decimal, ...]
    utc: tuple[int | Decimal, ...]
    zoned: bool


def date_time(text: str) -> DateTime | None:
    """Returns the date, dateTime or instant in `text`; None if it is none that exists."""
    match = _DATE_TIME.fullmatch(text)
    if match is None:
        return None
    *parts, zone = match.groups()
    fields = _fields(parts, seconds_at=5)
    year, month, day = (*map(int, fields[:3]), 1, 1)[:3]
    try:
        ordinal = date(year, month, day).toordinal()
    except ValueError:
        return None
    return DateTime(fields, _in_utc(fields, ordinal, _minutes(zone)) if zone else fields, bool(zone))


def time_of_day(text: str) -> TimeOfDay | None:
    """Returns the time of day in `text`; None if it is none."""
    match = _TIME_OF_DAY.fullmatch(text)
    return TimeOfDay(_fields(match.groups(), seconds_at=2)) if match else None


def order(one: DateTime, other: DateTime) -> int | None:
    """Returns -1, 0 or 1 if `one` is earlier than, equal to or later than `other`; None if that is unknown."""
    in_utc = _stepwise(one.utc, other.utc)
    return in_utc if one.zoned == other.zoned or in_utc == _stepwise(one.fields, other.fields) else None


def order_of_times(one: TimeOfDay, other: TimeOfDay) -> int | None:
    """Returns the same for times of day."""
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
    """Returns `fields`, which include an hour, moved by `offset` minutes. `ordinal`: the ordinal of their day."""
    hour, minute = (*map(int, fields[3:5]), 0)[:2]
    days, minutes = divmod(hour * 60 + minute - offset, _MINUTES_OF_A_DAY)
    hour, minute = divmod(minutes, 60)
    return (*_calendar(ordinal + days), hour, minute, *fields[5:])[: len(fields)]


def _calendar(ordinal: int) -> tuple[int, int, int]:
    """Returns year, month and day. Time zones can lead to the day before the year 1 and the day after 9999."""
    if ordinal < 1:
        return 0, 12, 31
    if ordinal > date.max.toordinal():
        return date.max.year + 1, 1, 1
    day = date.fromordinal(ordinal)
    return day.year, day.month, day.day
