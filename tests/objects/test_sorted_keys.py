"""Sorted keys are those of a sorted list, and an insertion moves no more in a large set than in a small one."""

from bisect import bisect_left, bisect_right, insort

from hypothesis import given
from hypothesis import strategies as st

from fhirstore.objects import sorted_keys
from fhirstore.objects.sorted_keys import BLOCK, SortedKeys

KEYS = st.text(alphabet="abc/", max_size=4)


@given(st.lists(st.tuples(st.booleans(), KEYS)), KEYS, st.booleans())
def test_sorted_keys_are_those_of_a_sorted_list(steps: list[tuple[bool, str]], low: str, behind: bool) -> None:
    """Whatever is added and removed, the keys from any place on are the same; blocks of three split early."""
    was, sorted_keys.BLOCK = sorted_keys.BLOCK, 3
    try:
        keys, model = SortedKeys(), list[str]()
        for adds, key in steps:
            if adds and key not in model:
                keys.add(key)
                insort(model, key)
            elif not adds and key in model:
                keys.remove(key)
                model.remove(key)
        at = (bisect_right if behind else bisect_left)(model, low)
        assert list(keys.starting(low, behind=behind)) == model[at:]
        assert len(keys) == len(model)
        assert all(0 < size <= 3 for size in keys.blocks)
    finally:
        sorted_keys.BLOCK = was


def test_an_insertion_moves_at_most_a_block() -> None:
    """However many keys there are and wherever they are added, no block grows beyond its bound, and few are small."""
    keys = SortedKeys()
    for number in range(50_000):
        keys.add(f"{number % 7}/{number:06}")  # seven folders that grow side by side
    assert max(keys.blocks) <= BLOCK
    assert len(keys.blocks) <= 2 * 50_000 // BLOCK + 8
    assert list(keys.starting("")) == sorted(f"{number % 7}/{number:06}" for number in range(50_000))
