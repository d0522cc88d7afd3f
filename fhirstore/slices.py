"""A few at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

_Item = TypeVar("_Item")


def slices(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    """All of them in order, `size` at a time; the last ones may be fewer."""
    return (items[start : start + size] for start in range(0, len(items), size))
