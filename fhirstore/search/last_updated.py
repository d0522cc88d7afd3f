"""One value of the parameter `_lastUpdated`, a prefix and a date, as periods of time.

`meta.lastUpdated` is known to the millisecond; the date of the parameter may be a whole year. `eq` means inside that
period, `gt` and `sa` after its end, `lt` and `eb` before its start; `ge` and `le` include it, `ne` is the rest; `ap`
extends it on both sides by a tenth of the time between it and now, as the page recommends.

https://hl7.org/fhir/R4/search.html#prefix
"""

from __future__ import annotations

from collections.abc import Iterable

from fhirstore.fhir.times import Period, period
from fhirstore.search.prefixes import split_prefix

_BEGIN, _END = 0, 10**13  # epoch ms; every `t` lies between


def periods_of(text: str, *, now: int) -> tuple[Period, ...]:
    """Returns the periods that one value means. `now`: epoch ms. Raises ValueError."""
    prefix, date = split_prefix(text)
    stated = period(date)
    match prefix:
        case "eq":
            return (stated,)
        case "ne":
            return (Period(_BEGIN, stated.start), Period(stated.end, _END))
        case "gt" | "sa":
            return (Period(stated.end, _END),)
        case "lt" | "eb":
            return (Period(_BEGIN, stated.start),)
        case "ge":
            return (Period(stated.start, _END),)
        case "le":
            return (Period(_BEGIN, stated.end),)
        case _:  # ap
            reach = abs(now - stated.start) // 10
            return (Period(max(_BEGIN, stated.start - reach), min(_END, stated.end + reach)),)


def enclosing(alternatives: Iterable[tuple[Period, ...]]) -> Period:
    """Returns the shortest period that holds every time at which all are met; each is met in any of its periods."""
    start, end = _BEGIN, _END
    for periods in alternatives:
        start = max(start, min(one.start for one in periods))
        end = min(end, max(one.end for one in periods))
    return Period(start, end)
