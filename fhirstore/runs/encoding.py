"""Turns the bytes of a file into the bytes that are stored: compressed or as they are, counted and hashed."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

import zstandard

Compression: TypeAlias = Literal["gzip", "zstd"]

SUFFIXES: dict[Compression, str] = {"gzip": ".gz", "zstd": ".zst"}
"""What readers such as DuckDB, Spark and pandas tell the encoding by."""

_ZSTD_LEVEL = 3
_GZIP_LEVEL = 6
_WITH_GZIP_HEADER = 31  # zlib's number for a gzip header around the largest window; the header has no time in it


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


class Encoder:
    """Encodes one file, a batch of pieces at a time. Blocks: large batches belong in a thread, one after the other.

    `size`: bytes as stored so far.
    """

    def __init__(self, compression: Compression | None) -> None:
        self.size = 0
        self._hash = hashlib.sha256()
        self._compressor = _compressor(compression)

    @property
    def sha256(self) -> str:
        """The hash of the bytes as stored so far, hex."""
        return self._hash.hexdigest()

    def encode(self, pieces: Sequence[bytes], *, last: bool = False) -> bytes:
        """Returns the bytes to store for these pieces; there may be none. `last`: nothing follows."""
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if self._compressor is not None:
            data = self._compressor.compress(data)
            if last:
                data += self._compressor.flush()
        self._hash.update(data)
        self.size += len(data)
        return data


def _compressor(compression: Compression | None) -> _Compressor | None:
    match compression:
        case None:
            return None
        case "gzip":
            return zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _WITH_GZIP_HEADER)
        case "zstd":
            return zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True).compressobj()
        case _:
            raise ValueError(f"no such compression: {compression!r}; use 'gzip', 'zstd' or None")
