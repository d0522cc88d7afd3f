"""64-bit hashes of texts, keyed per index file, so that nobody can write resources whose hashes collide."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from typing import TypeAlias

Hash: TypeAlias = Callable[[str], int]
"""Returns the hash of a text: a signed 64-bit number, never 0."""

KEY_BYTES = 16


def hashing(key: bytes) -> Hash:
    """Returns the hash function with this key; it remembers the hashes of texts that it has met lately."""

    @lru_cache(maxsize=65_536)
    def hashed(text: str) -> int:
        digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, key=key).digest()
        return int.from_bytes(digest, signed=True) or 1

    return hashed
