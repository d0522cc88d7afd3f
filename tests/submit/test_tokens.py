"""Op tokens: alike for all attempts at a line, unlike for anything else, sorted as the lines are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirstore.clock import SystemIds
from fhirstore.submit.tokens import Family, Marked, Tokens, is_later

MINE, OTHER = Tokens.of("s|x", "1", "job", 1), Tokens.of("s|x", "1", "job", 2)
_PLACES = st.tuples(st.integers(0, 32**4 - 1), st.integers(0, 10**12), st.integers(0, 1_000))


@given(_PLACES, _PLACES)
def test_tokens_of_one_manifest_sort_as_its_lines(one: tuple[int, int, int], two: tuple[int, int, int]) -> None:
    """And those of another manifest are never later."""
    first, second = MINE.line(*one), MINE.line(*two)
    assert (first < second) == (one < two)
    assert is_later(Marked(SystemIds(), second).new(), first) == (two > one)
    assert not is_later(Marked(SystemIds(), OTHER.line(*two)).new(), first)
    assert not is_later(SystemIds().new(), first)


def test_a_family_knows_its_versions_and_its_undoings() -> None:
    """And nobody else's: another job's, though everything else is the same, or a plain ULID."""
    family = Family(frozenset({MINE.manifest}), MINE.undoing)
    ids = SystemIds()
    assert family.wrote(Marked(ids, MINE.line(1, 1)).new())
    assert family.undid(Marked(ids, OTHER.undoing).new())
    for op in (
        ids.new(),
        Marked(ids, OTHER.line(1, 1)).new(),
        Marked(ids, Tokens.of("s|x", "1", "another", 1).line(1, 1)).new(),
    ):
        assert not family.wrote(op) and not family.undid(op)


def test_a_number_that_no_token_holds_is_refused() -> None:
    """It would sort anywhere."""
    with pytest.raises(ValueError, match="too great"):
        MINE.line(32**4, 1)
