"""Dates are spans of time; prefixes compare spans."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirstore.search.matching.dates import date_test
from tests.search.matching.asking import NOW, matches

INSTANT = "2020-06-15T12:00:00+02:00"


@pytest.mark.parametrize(
    ("element", "query", "found"),
    [
        # the page's own examples
        ({"effectiveDateTime": "2013-01-14T00:00:00Z"}, "eq2013-01-14", True),
        ({"effectiveDateTime": "2013-01-14T10:00:00Z"}, "eq2013-01-14", True),
        ({"effectiveDateTime": "2013-01-15T00:00:00Z"}, "eq2013-01-14", False),
        ({"effectiveDateTime": "2013-01-15T00:00:00Z"}, "ne2013-01-14", True),
        ({"effectiveDateTime": "2013-01-14T00:00:00Z"}, "ne2013-01-14", False),
        ({"effectiveDateTime": "2013-01-14"}, "lt2013-01-14T10:00", True),
        ({"effectiveDateTime": "2013-01-14"}, "gt2013-01-14T10:00", True),
        ({"effectivePeriod": {"start": "2013-01-21"}}, "ge2013-03-14", True),
        ({"effectivePeriod": {"start": "2013-01-21"}}, "le2013-03-14", True),
        ({"effectivePeriod": {"start": "2013-03-15"}}, "sa2013-03-14", True),
        ({"effectivePeriod": {"start": "2013-01-21"}}, "sa2013-03-14", False),
        ({"effectivePeriod": {"end": "2013-01-21"}}, "sa2013-03-14", False),
        ({"effectivePeriod": {"start": "2013-03-15"}}, "eb2013-03-14", False),
        ({"effectivePeriod": {"start": "2013-01-21"}}, "eb2013-03-14", False),
        ({"effectivePeriod": {"end": "2013-01-21"}}, "eb2013-03-14", True),
        ({"effectiveDateTime": "2013-03-14"}, "ap2013-03-14", True),
        ({"effectiveDateTime": "2015-06-15"}, "ap2013-03-14", False),
        # precision
        ({"effectiveDateTime": "1990"}, "1990-06", False),
        ({"effectiveDateTime": "1990-06"}, "1990", True),
        ({"effectiveDateTime": "2020"}, "gt2020-06-15", True),
        ({"effectiveDateTime": "2020"}, "sa2020-06-15", False),
        ({"effectiveDateTime": "2020-12-31"}, "gt2020", False),
        ({"effectiveDateTime": "2021"}, "gt2020", True),
        ({"effectiveDateTime": "2020-06-15"}, "ge2020-06-15", True),
        ({"effectiveDateTime": "2020-06-15"}, "le2020-06-15", True),
        ({"effectiveDateTime": "2020-06-15"}, "gt2020-06-15", False),
        ({"effectiveDateTime": "2020-06-15"}, "sa2020-06-14", True),
        ({"effectiveDateTime": "2020-06-15"}, "eb2020-06-16", True),
        ({"effectiveDateTime": "2020-06-15"}, "eb2020-06-15", False),
        # time zones; what has none is in UTC
        ({"effectiveDateTime": INSTANT}, "2020-06-15T10:00:00Z", True),
        ({"effectiveDateTime": INSTANT}, "2020-06-15T12:00:00+02:00", True),
        ({"effectiveDateTime": INSTANT}, "2020-06-15T05:00-05:00", True),
        ({"effectiveDateTime": INSTANT}, "2020-06-15T10:00", True),
        ({"effectiveDateTime": INSTANT}, "2020-06-15T12:00", False),
        ({"effectiveDateTime": "2020-06-15T23:30:00-02:00"}, "2020-06-16", True),
        ({"effectiveDateTime": "2020-06-15T10:00:00.250Z"}, "2020-06-15T10:00:00Z", True),
        ({"effectiveDateTime": "2020-06-15T10:00:00Z"}, "2020-06-15T10:00:00.250Z", False),
        # open and closed periods
        ({"effectivePeriod": {"start": "2020-01-01", "end": "2020-01-31"}}, "2020-01", True),
        ({"effectivePeriod": {"start": "2020-01-01", "end": "2020-02-01"}}, "2020-01", False),
        ({"effectivePeriod": {"start": "2020-01-01"}}, "2020", False),
        ({"effectivePeriod": {"start": "2020-01-01"}}, "gt9000", True),
        ({"effectivePeriod": {"end": "2020-01-01"}}, "lt0002", True),
        ({"effectivePeriod": {}}, "ne2020", False),
        ({"effectivePeriod": {"start": "nonsense"}}, "ne2020", False),
        # a Timing by its outer limits
        ({"effectiveTiming": {"event": ["2020-03-01", "2020-01-01"]}}, "2020", True),
        ({"effectiveTiming": {"event": ["2020-03-01", "2020-01-01"]}}, "ap2020-02-01", True),
        ({"effectiveTiming": {"event": ["2020-03-01", "2020-01-01"]}}, "sa2020-02-01", False),
        ({"effectiveTiming": {"repeat": {"boundsPeriod": {"start": "2020-03-01"}}}}, "sa2020-02-01", True),
        ({"effectiveTiming": {"repeat": {"boundsDuration": {"value": 1}}}}, "ge2020", False),
        ({"effectiveInstant": INSTANT}, "2020-06-15T10:00:00Z", True),
        ({}, "ne2020", False),
        # any of several
        ({"effectiveDateTime": "2020-06-15"}, "2019,2020", True),
        ({"effectiveDateTime": "2020-06-15"}, "lt2019,gt2021", False),
    ],
)
def test_prefixes(element: dict[str, object], query: str, found: bool) -> None:
    """By the precision in which both were written."""
    assert matches(f"date={query}", {"resourceType": "Observation"} | element) is found


def test_repeated_dates_bound_a_period() -> None:
    """Each is met by the same resource, not necessarily by the same value."""
    assert matches("date=ge2020&date=lt2021", {"resourceType": "Observation", "effectiveDateTime": "2020-05"})
    assert not matches("date=ge2020&date=lt2021", {"resourceType": "Observation", "effectiveDateTime": "2021-05"})


_ZONES = st.integers(-14 * 4, 14 * 4).map(lambda quarters: timezone(timedelta(minutes=15 * quarters)))
_MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1), timezones=_ZONES).map(
    lambda moment: moment.replace(microsecond=moment.microsecond // 1_000 * 1_000)
)
_UNITS = ("year", "month", "day", "minute", "second", "millisecond")


@st.composite
def _spans(draw: st.DrawFn) -> tuple[str, datetime, datetime]:
    """A date as FHIR writes it, and the first moments in it and after it."""
    moment, unit = draw(_MOMENTS), draw(st.sampled_from(_UNITS))
    if unit in ("year", "month", "day"):
        start = moment.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=UTC)
        if unit == "year":
            start = start.replace(month=1, day=1)
            return f"{start:%Y}", start, start.replace(year=start.year + 1)
        if unit == "month":
            start = start.replace(day=1)
            return f"{start:%Y-%m}", start, (start + timedelta(days=32)).replace(day=1)
        return f"{start:%Y-%m-%d}", start, start + timedelta(days=1)
    if unit == "minute":
        moment = moment.replace(second=0)
    start = moment if unit == "millisecond" else moment.replace(microsecond=0)
    text = start.isoformat(timespec="milliseconds")[: {"minute": 16, "second": 19, "millisecond": 23}[unit]]
    offset = start.isoformat()[-6:]
    return text + offset, start, start + timedelta(**{f"{unit}s": 1})


@given(sought=_spans(), found=_spans(), near=st.booleans(), days=st.integers(-40, 40))
def test_prefixes_are_interval_arithmetic(
    sought: tuple[str, datetime, datetime], found: tuple[str, datetime, datetime], near: bool, days: int
) -> None:
    """The table of the specification, word for word, on moments of the two spans."""
    text, start, end = sought
    value, a, b = found
    if near:  # otherwise most pairs are years apart
        a, b = start + timedelta(days=days), start + timedelta(days=days) + (b - a)
        value_or_period: object = {"start": a.isoformat(), "end": (b - timedelta(seconds=1)).isoformat()}
        b = b if b - a >= timedelta(seconds=1) else a
        if a.microsecond or b <= a:
            return
    else:
        value_or_period = value
    contains = start <= a and b <= end
    overlaps_above, overlaps_below = b > end, a < start
    now = datetime.fromtimestamp(NOW / 1_000, UTC)
    reach = abs(now - start) // 10
    expected = {
        "": contains,
        "eq": contains,
        "ne": not contains,
        "gt": overlaps_above,
        "lt": overlaps_below,
        "ge": overlaps_above or contains,
        "le": overlaps_below or contains,
        "sa": a >= end,
        "eb": b <= start,
    }
    for prefix, answer in expected.items():
        assert date_test(prefix + text, now=NOW)(value_or_period) is answer, prefix
    edge = timedelta(milliseconds=2)
    if a < end + reach - edge and b > start - reach + edge:
        assert date_test("ap" + text, now=NOW)(value_or_period)
    if a > end + reach + edge or b < start - reach - edge:
        assert not date_test("ap" + text, now=NOW)(value_or_period)


def test_a_period_that_ends_before_it_starts_is_none() -> None:
    """It matches nothing, whatever the prefix."""
    inverted = {"start": "2021-01-02", "end": "2020-12-31"}
    assert not any(
        date_test(prefix + "2021", now=NOW)(inverted) for prefix in ("eq", "ne", "gt", "lt", "ge", "le", "ap")
    )
