"""Decompresses request bodies piece by piece and never beyond a limit, so a decompression bomb costs no more than that.

https://www.rfc-editor.org/rfc/rfc9110#section-8.4. One coding at a time: gzip, deflate (zlib's) or br.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator

import brotli

from fhirstore.errors import MalformedContent
from server.http.refusal import Refused

CODINGS = ("gzip", "deflate", "br")
_STEP = 1024 * 1024  # bytes that one call may return
_MOST_MEMBERS = 64  # of one gzip body; thousands of empty ones would cost time and stay below the limit


class TooMuch(Exception):
    """The decompressed body exceeds the limit."""


class Inflater(ABC):
    """Decompresses a body that arrives in pieces."""

    @abstractmethod
    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Yields what `data` decompresses to, in pieces of 1 MiB at most. Raises TooMuch, MalformedContent."""

    @abstractmethod
    def end(self) -> None:
        """Ends the body. Raises MalformedContent where it is truncated."""

    def feed(self, data: bytes) -> bytes:
        """Returns what `data` decompresses to, as a whole. Raises as `pieces`."""
        return b"".join(self.pieces(data))


def inflater(content_encoding: str, limit: int) -> Inflater | None:
    """Returns an Inflater for a Content-Encoding; None for identity. `limit`: in bytes. Raises Refused (415)."""
    coding = content_encoding.strip().lower()
    if coding in ("", "identity"):
        return None
    if coding in ("gzip", "x-gzip"):
        return _Zlib(limit, 16 + zlib.MAX_WBITS)
    if coding == "deflate":
        return _Zlib(limit, zlib.MAX_WBITS)
    if coding == "br":
        return _Brotli(limit)
    raise Refused(
        415,
        f"The Content-Encoding is not one this server reads; send {', '.join(CODINGS)}, or the body as it is",
        headers={"Accept-Encoding": ", ".join(CODINGS)},
    )


class _Zlib(Inflater):
    """gzip, of one member or several, and deflate."""

    def __init__(self, limit: int, wbits: int) -> None:
        self._left = limit
        self._members = 1
        self._wbits = wbits
        self._stream = zlib.decompressobj(wbits)

    def pieces(self, data: bytes) -> Iterator[bytes]:
        full = False
        while data or full:
            if self._stream.eof:  # another gzip member
                self._members += 1
                if self._members > _MOST_MEMBERS:
                    raise _broken()
                self._stream = zlib.decompressobj(self._wbits)
            most = min(self._left + 1, _STEP)
            try:
                piece = self._stream.decompress(data, most)
            except zlib.error:
                raise _broken() from None  # its message may quote the body
            self._left -= len(piece)
            if self._left < 0:
                raise TooMuch
            if piece:
                yield piece
            data = self._stream.unused_data or self._stream.unconsumed_tail
            full = len(piece) == most and not self._stream.eof  # then more of it may wait in the decoder

    def end(self) -> None:
        if not self._stream.eof:
            raise _broken()


class _Brotli(Inflater):
    """br; the decoder returns a bounded piece at a time."""

    def __init__(self, limit: int) -> None:
        self._left = limit
        self._stream = brotli.Decompressor()

    def pieces(self, data: bytes) -> Iterator[bytes]:
        try:
            yield self._take(data)
            while not self._stream.can_accept_more_data() and not self._stream.is_finished():
                yield self._take(b"")
        except brotli.error:
            raise _broken() from None

    def _take(self, data: bytes) -> bytes:
        piece: bytes = self._stream.process(data, output_buffer_limit=min(self._left + 1, _STEP))
        self._left -= len(piece)
        if self._left < 0:
            raise TooMuch
        return piece

    def end(self) -> None:
        if not self._stream.is_finished():
            raise _broken()


def _broken() -> MalformedContent:
    return MalformedContent("The body is not what its Content-Encoding says, or it stops short")
