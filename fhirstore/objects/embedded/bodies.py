"""How the embedded store keeps a body in a row, and how it tells that what it reads is what was written.

A body is a zstd frame with a checksum of its content (https://www.rfc-editor.org/rfc/rfc8878#name-content-checksum).
The level is one of the fast negative ones, whose frames take the least time to read. The seal of a row is a checksum of
key and ETag, so that a damaged reference never shows the body of another object.
"""

from __future__ import annotations

from zlib import crc32

from zstandard import ZstdCompressor, ZstdDecompressor, ZstdError

_LEVEL = -5


def seal_of(key: str, etag: str) -> int:
    """Returns the checksum of a row of `objects`."""
    return crc32((key + etag).encode("utf-8", "surrogatepass"))


def is_sealed(key: str, etag: str, seal: int) -> bool:
    """Returns whether the row is what was written. In a damaged row a value may have any type."""
    try:
        return seal_of(key, etag) == seal
    except (TypeError, AttributeError):
        return False


class Packer:
    """Compresses bodies. One thread at a time."""

    def __init__(self) -> None:
        self._zstd = ZstdCompressor(level=_LEVEL, write_checksum=True, write_content_size=True)

    def pack(self, body: bytes) -> bytes:
        """Returns the frame of one body."""
        return self._zstd.compress(body)


class Unpacker:
    """Decompresses frames. One thread at a time.

    `decompress` raises ZstdError or MemoryError where the frame is damaged; the caller compares the size.
    """

    def __init__(self) -> None:
        self.decompress = ZstdDecompressor().decompress

    def unpack(self, frame: bytes, size: int) -> bytes | None:
        """Returns the body of `size` bytes, or None where the frame is damaged."""
        try:
            body = self.decompress(frame)
        except (ZstdError, MemoryError):
            return None
        return body if len(body) == size else None
