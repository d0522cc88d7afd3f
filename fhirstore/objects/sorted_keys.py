"""A sorted set of keys in blocks, so that an insertion moves at most one block, however many keys there are.

An insertion into the middle of a Python list moves half of the list. Here it moves part of one block and, when a block
is full, part of the list of blocks, which is a thousand times shorter.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator

BLOCK = 1024
"""The most keys of a block. A full block becomes two."""


class SortedKeys:
    """A set of strings in the order of their code points, which is that of their UTF-8 bytes."""

    def __init__(self) -> None:
        self._blocks: list[list[str]] = []
        self._lasts: list[str] = []  # the last key of each block

    def __len__(self) -> int:
        return sum(map(len, self._blocks))

    @property
    def blocks(self) -> list[int]:
        """The number of keys in each block."""
        return [len(block) for block in self._blocks]

    def add(self, key: str) -> None:
        """Insert a key. It must not be in the set."""
        at = bisect_left(self._lasts, key)
        if at == len(self._blocks):
            if not self._blocks:
                self._blocks.append([key])
                self._lasts.append(key)
                return
            at -= 1
        block = self._blocks[at]
        insort(block, key)
        if len(block) > BLOCK:
            self._blocks.insert(at + 1, block[BLOCK // 2 :])
            self._lasts.insert(at + 1, block[-1])
            del block[BLOCK // 2 :]
        self._lasts[at] = block[-1]

    def remove(self, key: str) -> None:
        """Remove a key. It must be in the set."""
        at = bisect_left(self._lasts, key)
        block = self._blocks[at]
        del block[bisect_left(block, key)]
        if block:
            self._lasts[at] = block[-1]
        else:
            del self._blocks[at], self._lasts[at]

    def starting(self, low: str, *, behind: bool = False) -> Iterator[str]:
        """Yields the keys from `low` on, or with `behind` those after it. Nothing may be added or removed meanwhile."""
        bisect = bisect_right if behind else bisect_left
        at = bisect(self._lasts, low)
        if at == len(self._blocks):
            return
        first = self._blocks[at]
        yield from first[bisect(first, low) :]
        for block in self._blocks[at + 1 :]:
            yield from block
