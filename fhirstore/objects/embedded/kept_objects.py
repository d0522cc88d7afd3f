"""Small objects that were read lately, in memory: for those who read the same ones again, as searches do.

An object is shown from here only if it is still what the store has. As long as nobody has written to the store that is
sure; afterwards its row in `objects` says so, which is a part of the work of reading it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

import msgspec

MOST_BYTES = 16 * 1024 * 1024
"""Bytes of all bodies that are kept."""
_LARGEST = 64 * 1024  # bytes of a body


class Row(msgspec.Struct, frozen=True, array_like=True):
    """A row of `objects`: another body, or a later write of the same one, makes another row."""

    modified: int
    seal: int
    body: int


class Kept(msgspec.Struct):
    """An object as it was read. `writes`: what `ObjectStore.writes` said before it was last seen to be so."""

    writes: int
    row: Row
    body: bytes
    etag: str


class KeptObjects:
    """The objects by key, those used last at the end."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most = most
        self._size = 0
        self._kept: OrderedDict[str, Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, keys: Iterable[str]) -> tuple[list[tuple[str, Kept]], list[str]]:
        """Returns those that are kept, and the keys of the others."""
        found: list[tuple[str, Kept]] = []
        others: list[str] = []
        for key in keys:
            kept = self._kept.get(key)
            if kept is None:
                others.append(key)
            else:
                self._kept.move_to_end(key)
                found.append((key, kept))
        return found, others

    def keep(self, key: str, kept: Kept) -> None:
        """Keeps an object, and drops those not used for longest where there is no room."""
        self.drop(key)
        if len(kept.body) > _LARGEST:
            return
        self._kept[key] = kept
        self._size += len(kept.body)
        while self._size > self._most:
            _, oldest = self._kept.popitem(last=False)
            self._size -= len(oldest.body)

    def drop(self, key: str) -> None:
        """Drops an object that is not what the store has any more."""
        known = self._kept.pop(key, None)
        if known is not None:
            self._size -= len(known.body)
