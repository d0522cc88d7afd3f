"""Dates, times and instants as FHIR writes them in URLs, read as spans of time in epoch milliseconds.

A date without a time is in UTC. In a query string `+` means a space, so a space before an offset is read as a plus sign
that the client did not escape.

https://hl7.org/fhir/R4/datatypes.html#instant · https://hl7.org/fhir/R4/datatypes.html#dateTime
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

_DATE = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?", re.ASCII)
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(?:(Z)|([-+ ])(\d\d):(\d\d))?", re.ASCII
)
_DATE_LENGTH = len("2024-05-01")
_MS_DIGITS = 3
_NONE = "it is no date or time, such as 2020-05 or 2020-05-01T10:00:00Z"
_MINUTE, _DAY = 60_000, 86_400_000  # ms
_EPOCH = date(1970, 1, 1).toordinal()
_LAST_YEAR = date.max.year


@dataclass(frozen=True, slots=True)
class Period:
    """From `start` until before `end`, epoch ms. An instant is a period of one ms."""

    start: int
    end: int


def parse_instant(text: str) -> int:
    """Returns the first millisecond (epoch ms) at or after the instant. Raises ValueError."""
    start, _, fraction = _moment(text, exact=True)
    return start + (1 if fraction[_MS_DIGITS:].strip("0") else 0)


def period(text: str) -> Period:
    """Returns the span that a date or time denotes: `2024` the year, `2024-05-01T10:00:00Z` the second. Raises
    ValueError.
    """
    return Period(*span(text, exact=True))


def span(text: str, *, exact: bool = False) -> tuple[int, int]:
    """Returns start and end as `period` does. Unless `exact`, a time may lack its seconds, which makes it a minute, and
    its zone, which makes it one in UTC. Raises ValueError.
    """
    match = _DATE.fullmatch(text) if len(text) <= _DATE_LENGTH else None
    if match is None:
        start, width, _ = _moment(text, exact=exact)
        return start, start + width
    year, month, day = (int(part) if part else 0 for part in match.groups())
    start = _midnight(year, month or 1, day or 1)
    if day:
        return start, start + _DAY
    if month and month < 12:
        return start, _midnight(year, month + 1, 1)
    return start, _midnight(year + 1, 1, 1) if year < _LAST_YEAR else _midnight(year, 12, 31) + _DAY


def _moment(text: str, *, exact: bool) -> tuple[int, int, str]:
    """Returns epoch ms, rounded down, the ms that it lasts, and the digits of the fraction as they were written.

    `exact`: seconds and a zone are required.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(_NONE)
    *numbers, seconds, fraction, utc, sign, zone_hours, zone_minutes = match.groups("")
    if exact and not (seconds and (utc or sign)):
        raise ValueError(_NONE)
    year, month, day, hour, minute = map(int, numbers)
    second, hours, minutes = int(seconds or 0), int(zone_hours or 0), int(zone_minutes or 0)
    if hour > 23 or minute > 59 or second > 60 or hours > 23 or minutes > 59:  # FHIR allows leap seconds
        raise ValueError("no such time of day")
    offset = (hours * 60 + minutes) * (-1 if sign == "-" else 1)
    ms = int(fraction.ljust(_MS_DIGITS, "0")[:_MS_DIGITS]) if fraction else 0
    start = _midnight(year, month, day) + (hour * 60 + minute - offset) * _MINUTE + second * 1_000 + ms
    if not seconds:
        return start, _MINUTE, ""
    return start, int(10 ** max(0, _MS_DIGITS - len(fraction))), fraction


def _midnight(year: int, month: int, day: int) -> int:
    return (date(year, month, day).toordinal() - _EPOCH) * _DAY
