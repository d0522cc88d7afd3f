"""Keys of decimals sort as the numbers do, with all their digits."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from fhirstore.index.local.decimals import AT, JUST_ABOVE, JUST_BELOW, sort_key

DECIMALS = st.decimals(allow_nan=False, allow_infinity=True) | st.decimals(min_value=-2, max_value=2, places=3)
PLACES = {JUST_BELOW: -1, AT: 0, JUST_ABOVE: 1}


@given(DECIMALS, DECIMALS, st.sampled_from(list(PLACES)), st.sampled_from(list(PLACES)))
def test_keys_sort_as_numbers_do(one: Decimal, other: Decimal, place: bytes, other_place: bytes) -> None:
    """Equal numbers of other digits (1.0, 1.00) have one key; a place is nearer to its number than any other number."""
    left, right = (one, PLACES[place]), (other, PLACES[other_place])
    left_key, right_key = sort_key(one, place), sort_key(other, other_place)
    assert (left_key < right_key, left_key == right_key) == (left < right, left == right)


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_zeros_at_the_end_do_not_count(number: Decimal) -> None:
    """1.5 and 1.500 are one number."""
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    assert sort_key(Decimal((sign, (*digits, 0, 0), exponent - 2))) == sort_key(number)
