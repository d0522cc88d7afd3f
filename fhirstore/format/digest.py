"""Hashes of what fits into a few pages, made without letting go of the interpreter.

From 2,048 bytes on, Python's hashes let other threads run meanwhile. That is meant for far more data: two kilobytes are
hashed in a microsecond, and to get the interpreter back from a thread that wants it, too, takes ten times as long. So
what is not large is hashed in pieces that are too small for that.
"""

from __future__ import annotations

import hashlib
from typing import Protocol

_PIECE = 2047  # bytes; HASHLIB_GIL_MINSIZE of CPython, less one
_LARGE = 16 * 1024  # bytes from which on others may well run


class Hash(Protocol):
    """One of hashlib's."""

    def update(self, data: bytes | memoryview, /) -> None: ...


def sha256(body: bytes) -> str:
    """Its hex digest."""
    hash_ = hashlib.sha256()
    feed(hash_, body)
    return hash_.hexdigest()


def feed(hash: Hash, body: bytes) -> None:
    """`hash.update(body)`."""
    if _PIECE < len(body) < _LARGE:
        for start in range(0, len(body), _PIECE):
            hash.update(body[start : start + _PIECE])  # a copy takes less time than a view
    else:
        hash.update(body)
