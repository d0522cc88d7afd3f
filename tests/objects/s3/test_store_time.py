"""The store's time is worked out from whole-second Date headers, within bounds that hold."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirstore.objects.s3.store_time import DRIFT, StoreTime, parse_date, parse_timestamp

EPOCH = 1_763_611_897_123  # the store's clock, ms, when the model's monotonic clock shows 0


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request of the model: ms of pause before it, on the way there, on the way back."""

    pause: float
    there: float
    back: float


exchanges = st.lists(
    st.builds(Exchange, st.floats(0, 600_000), st.floats(0, 3_000), st.floats(0, 3_000)), min_size=1, max_size=30
)


@given(exchanges, st.floats(-DRIFT, DRIFT), st.floats(0, 3_600_000))
def test_true_time_stays_within_the_bounds(requests: list[Exchange], drift: float, later: float) -> None:
    """Whatever the delays and the drift: the lower bound has passed, and the estimate errs as little as said."""
    store_time, monotonic = StoreTime(), 0.0

    def true_time(at: float) -> float:
        return EPOCH + at * (1 + drift)

    def check(at: float) -> None:
        assert store_time.lower_bound(at) <= true_time(at) + 0.01
        assert abs(store_time.estimate(at) - true_time(at)) <= store_time.uncertainty(at) + 1.01

    for request in requests:
        sent = monotonic + request.pause
        answered = sent + request.there
        monotonic = answered + request.back
        date = int(true_time(answered) // 1000) * 1000
        store_time.observe(date, sent=sent, received=monotonic)
        check(monotonic)
    check(monotonic + later)


def test_many_answers_narrow_the_estimate() -> None:
    """Quick answers at different moments of the second pin the clock down to a fraction of it."""
    store_time = StoreTime()
    for number in range(50):
        at = number * 137.0
        store_time.observe(int((EPOCH + at) // 1000) * 1000, sent=at - 2, received=at + 2)
    assert store_time.uncertainty(50 * 137.0) < 60


def test_contradiction_resets_to_the_newest_answer() -> None:
    """When the store's clock is set back by an hour, the next answer counts alone."""
    store_time = StoreTime()
    store_time.observe(EPOCH // 1000 * 1000, sent=0, received=10)
    back = EPOCH // 1000 * 1000 - 3_600_000
    store_time.observe(back, sent=1_000, received=1_010)
    assert back <= store_time.estimate(1_010) <= back + 1_010


def test_nothing_is_known_before_the_first_answer() -> None:
    """`known` turns true with the first answer."""
    store_time = StoreTime()
    assert not store_time.known
    store_time.observe(EPOCH, sent=0, received=1)
    assert store_time.known


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Fri, 20 Nov 2026 04:58:35 GMT", 1_795_150_715_000),
        ("Fri, 20 Nov 2026 04:58:35 -0000", 1_795_150_715_000),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
def test_dates_are_read_or_ignored(header: str | None, expected: int | None) -> None:
    """A Date header becomes epoch milliseconds; a broken one is no answer, not an error."""
    assert parse_date(header) == expected


def test_timestamps_keep_their_milliseconds() -> None:
    """Last-modified times of a LIST are read with or without a fraction."""
    assert parse_timestamp("2026-11-20T04:58:35.123Z") == 1_795_150_715_123
    assert parse_timestamp("2026-11-20T04:58:35Z") == 1_795_150_715_000
