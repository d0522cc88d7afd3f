"""Dates, times and instants as FHIR writes them in URLs, read as spans of time in epoch milliseconds.

A date without a time is in UTC. In a query string `+` means a space, so a space before an offset is read as a plus sign
that the client did not escape.

https://hl7.org/fhir/R4/datatypes.html#instant · https://hl7.org/fhir/R4/datatypes.html#dateTime
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

_DATE = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?", re.ASCII)
_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:Z|([-+ ])(\d\d):(\d\d))", re.ASCII)
_ZONELESS = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d)(:\d\d(?:\.\d+)?)?(Z|[-+ ]\d\d:\d\d)?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_MS_DIGITS = 3
_MINUTE = 60_000  # ms
_DAY = 86_400_000  # ms


@dataclass(frozen=True, slots=True)
class Period:
    """From `start` until before `end`, epoch ms. An instant is a period of one ms."""

    start: int
    end: int


def parse_instant(text: str) -> int:
    """Returns the first millisecond (epoch ms) at or after the instant. Raises ValueError."""
    start, fraction = _moment(text)
    return start + (1 if fraction[_MS_DIGITS:].strip("0") else 0)


def period(text: str) -> Period:
    """Returns the span that a date or time denotes: `2024` the year, `2024-05-01T10:00:00Z` the second. Raises
    ValueError.
    """
    match = _DATE.fullmatch(text)
    if match is None:
        start, fraction = _moment(text)
        return Period(start, start + int(10 ** max(0, _MS_DIGITS - len(fraction))))
    year, month, day = (int(part) if part else 0 for part in match.groups())
    begin = datetime(year, month or 1, day or 1, tzinfo=UTC)
    if day:
        return Period(_ms(begin), _ms(begin) + _DAY)
    following = (year + month // 12, month % 12 + 1) if month else (year + 1, 1)
    end = datetime(*following, 1, tzinfo=UTC) if following[0] <= datetime.max.year else datetime.max.replace(tzinfo=UTC)
    return Period(_ms(begin), _ms(end))


def lenient_period(text: str) -> Period:
    """As `period`; a time may lack its seconds, which makes it a minute, and its zone, which makes it one in UTC."""
    match = _ZONELESS.fullmatch(text)
    if match is None:
        return period(text)
    minutes, seconds, zone = match.groups("")
    stated = period(minutes + (seconds or ":00") + (zone or "Z"))
    return stated if seconds else Period(stated.start, stated.start + _MINUTE)


def _moment(text: str) -> tuple[int, str]:
    """Returns epoch ms, rounded down, and the digits of the fraction as they were written."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError("not an instant")
    *parts, fraction, sign, hours, minutes = match.groups("")
    year, month, day, hour, minute, second = (int(part) for part in parts)
    zone = timedelta(hours=int(hours or 0), minutes=int(minutes or 0)) * (-1 if sign == "-" else 1)
    leap = second == 60  # FHIR allows leap seconds, Python's datetime does not
    whole = datetime(year, month, day, hour, minute, 59 if leap else second, tzinfo=timezone(zone))
    ms = int(fraction.ljust(_MS_DIGITS, "0")[:_MS_DIGITS])
    return _ms(whole) + ms + (1000 if leap else 0), fraction


def _ms(moment: datetime) -> int:
    return (moment - _EPOCH) // _MILLISECOND
