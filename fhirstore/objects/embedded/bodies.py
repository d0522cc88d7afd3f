"""How the embedded store keeps a body in a row, and tells whether what it reads is what was written.

A body is a zstd frame with the content's checksum (https://www.rfc-editor.org/rfc/rfc8878#name-content-checksum).
FHIR's JSON shrinks by a third at the fastest levels, and a frame that is quick to read matters more than the rest.
The frame guards the content, and the seal of a key guards the rest: a checksum of key and ETag, so that a damaged
reference never shows another object's body.
"""

from __future__ import annotations

from zlib import crc32

from zstandard import ZstdCompressor, ZstdDecompressor, ZstdError

_LEVEL = -5


def seal_of(key: str, etag: str) -> int:
    """The checksum of a row of `objects`."""
    return crc32((key + etag).encode("utf-8", "surrogatepass"))


class Packer:
    """Compresses bodies, for one thread at a time."""

    def __init__(self) -> None:
        self._zstd = ZstdCompressor(level=_LEVEL, write_checksum=True, write_content_size=True)

    def pack(self, body: bytes) -> bytes:
        """The frame of one body."""
        return self._zstd.compress(body)


class Unpacker:
    """Reads frames back, for one thread at a time."""

    def __init__(self) -> None:
        self._zstd = ZstdDecompressor()

    def unpack(self, frame: bytes, size: int) -> bytes | None:
        """The body of `size` bytes; None: the frame is damaged."""
        try:
            body = self._zstd.decompress(frame)
        except (ZstdError, MemoryError):
            return None
        return body if len(body) == size else None
