"""Splits a sequence into batches, as `itertools.batched` of newer Pythons does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

_Item = TypeVar("_Item")


def batched(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    """Yields all items in order, `size` at a time; the last batch may be shorter."""
    return (items[start : start + size] for start in range(0, len(items), size))
