"""One value of the parameter `_lastUpdated`, a prefix and a date, as periods of time.

`meta.lastUpdated` is known to the millisecond; the date of the parameter may be a whole year. `eq` means inside that
period, `gt` and `sa` after its end, `lt` and `eb` before its start; `ge` and `le` include it, `ne` is the rest; `ap`
extends it on both sides by a tenth of the time between it and now, as the page recommends. A time without a zone is in
UTC, as in other dates.

https://hl7.org/fhir/R4/search.html#prefix
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from fhirstore.fhir.times import Period, span
from fhirstore.search.criteria.criterion import ByTime, Criterion
from fhirstore.search.criteria.prefixes import split_prefix

_MOST = 100  # periods of which two criteria are made one
_BEGIN, _END = 0, 10**13  # epoch ms; every `t` lies between


@lru_cache(maxsize=256)
def _stated(date: str) -> Period:
    """A search of all types reads the same date for each of them."""
    return Period(*span(date))


def periods_of(text: str, *, now: int) -> tuple[Period, ...]:
    """Returns the periods that one value means. `now`: epoch ms. Raises ValueError."""
    prefix, date = split_prefix(text)
    stated = _stated(date)
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


def within_times(criteria: Sequence[Criterion]) -> Sequence[Criterion]:
    """Returns criteria with those about times as one, as a row has only one time."""
    times = [one for one in criteria if isinstance(one, ByTime)]
    if len(times) < 2 or any(len(one.periods) > _MOST for one in times):
        return criteria
    found = times[0].periods
    for one in times[1:]:
        both = [(max(a.start, b.start), min(a.end, b.end)) for a in found for b in one.periods]
        found = tuple(Period(start, end) for start, end in both if start < end)
        if len(found) > _MOST:
            return criteria
    return [*(one for one in criteria if not isinstance(one, ByTime)), ByTime(found)]
