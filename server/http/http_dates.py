"""Writes HTTP dates, in whole seconds (https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7)."""

from __future__ import annotations

from functools import lru_cache
from time import gmtime, time

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def http_date(ms: int) -> str:
    """Returns epoch ms as an HTTP date, in whole seconds (https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7)."""
    return _date(ms // 1000)


def last_modified(ms: int) -> str:
    """Returns the value of Last-Modified: not later than now, even where the store's clock is ahead of this one.

    https://www.rfc-editor.org/rfc/rfc9110#section-8.8.2.1
    """
    return _date(min(ms // 1000, int(time())))


def now_date() -> str:
    """Returns the value of Date."""
    return _date(int(time()))


@lru_cache(maxsize=1024)  # resources that were written in one second are often read together
def _date(seconds: int) -> str:
    year, month, day, hour, minute, second, weekday, _, _ = gmtime(seconds)
    return f"{_DAYS[weekday]}, {day:02} {_MONTHS[month - 1]} {year} {hour:02}:{minute:02}:{second:02} GMT"
