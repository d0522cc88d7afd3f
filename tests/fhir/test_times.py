"""Dates in URLs mean the stretch of time that FHIR says they mean."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fhirstore.fhir.times import Period, parse_instant, period

T = int(datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC).timestamp()) * 1000


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2024-02-29T23:59:59Z", T),
        ("2024-02-29T23:59:59.123Z", T + 123),
        ("2024-02-29T23:59:59.1Z", T + 100),
        ("2024-02-29T23:59:59.1230000Z", T + 123),
        ("2024-02-29T23:59:59.1230001Z", T + 124),
        ("2024-03-01T01:59:59+02:00", T),
        ("2024-03-01T01:59:59 02:00", T),
        ("2024-02-29T18:29:59-05:30", T),
        ("2024-02-29T23:59:60Z", T + 1000),
        ("1969-12-31T23:59:59.999Z", -1),
    ],
)
def test_an_instant_is_the_first_millisecond_at_or_after_it(text: str, ms: int) -> None:
    """Any offset, any fraction, leap seconds, and a plus sign that nobody escaped."""
    assert parse_instant(text) == ms


DAY = 86_400_000
MIDNIGHT = T + 1000 - DAY


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-02-29", Period(MIDNIGHT, MIDNIGHT + DAY)),
        ("2024-02", Period(MIDNIGHT - 28 * DAY, MIDNIGHT + DAY)),
        ("2024", Period(MIDNIGHT - 59 * DAY, MIDNIGHT + 307 * DAY)),
        ("2024-12", Period(MIDNIGHT + 276 * DAY, MIDNIGHT + 307 * DAY)),
        ("2024-02-29T23:59:59Z", Period(T, T + 1000)),
        ("2024-02-29T23:59:59.5Z", Period(T + 500, T + 600)),
        ("2024-02-29T23:59:59.123Z", Period(T + 123, T + 124)),
        ("2024-02-29T23:59:59.123456Z", Period(T + 123, T + 124)),
    ],
)
def test_a_date_is_a_period_of_its_own_precision(text: str, expected: Period) -> None:
    """Years, months, days, seconds, fractions."""
    assert period(text) == expected


def test_the_last_dates_there_are_have_an_end() -> None:
    """Year 9999, its last month and day."""
    assert period("9999").end > period("9999-12-31").start
    assert period("9999-12").end > period("9999-12").start
    assert period("9999-12-31").end > period("9999-12-31").start


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "24", "2024-13", "2023-02-29", "2024-2-9", "2024-02-29T10:00", "2024-02-29T10:00:00", "٢٠٢٤"),
        *("2024-02-29T10:00:61Z", "2024-02-29T25:00:00Z", "0000", "ge2024", "2024-02-29T10:00:00+25:00", "2024\n"),
    ],
)
def test_what_is_no_date_is_refused(text: str) -> None:
    """A time needs its zone and its seconds; a comparison prefix is no part of a date."""
    with pytest.raises(ValueError):
        period(text)
    with pytest.raises(ValueError):
        parse_instant(text)
