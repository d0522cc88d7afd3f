"""Hashes of small bodies, computed without releasing the interpreter lock.

Python's hashes release the interpreter lock from 2,048 bytes on. For a body of a few kilobytes, taking the lock back
from a busy thread costs much more than the hash itself, so bodies that are not large are hashed in smaller pieces (see
docs/performance.md, small bodies are hashed without releasing the GIL).
"""

from __future__ import annotations

import hashlib
from typing import Protocol

_PIECE = 2047  # bytes; HASHLIB_GIL_MINSIZE of CPython, less one
_LARGE = 16 * 1024  # bytes from which on the lock is released


class Hash(Protocol):
    """A hash of hashlib."""

    def update(self, data: bytes | memoryview, /) -> None: ...


def sha256(body: bytes) -> str:
    """Returns the SHA-256 of the body in hex."""
    hash_ = hashlib.sha256()
    feed(hash_, body)
    return hash_.hexdigest()


def feed(hash: Hash, body: bytes) -> None:
    """Do `hash.update(body)` without releasing the interpreter lock for a small body (see docs/performance.md)."""
    if _PIECE < len(body) < _LARGE:
        for start in range(0, len(body), _PIECE):
            hash.update(body[start : start + _PIECE])  # a copy is faster than a view
    else:
        hash.update(body)
