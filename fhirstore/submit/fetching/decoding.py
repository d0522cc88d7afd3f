"""Undoes compression, within bounds: a body that grows out of all proportion is refused before it is held or written.

https://www.rfc-editor.org/rfc/rfc9110#name-content-codings
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncGenerator, AsyncIterator

from fhirstore.errors import SourceFailed
from fhirstore.submit.fetching.limits import FetchLimits
from fhirstore.threads import in_thread

GZIP = b"\x1f\x8b"
"""How a gzip file begins, and no NDJSON."""

_PIECE = 256 * 1024  # bytes of output at a time
_WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS, "raw": -zlib.MAX_WBITS}


def codings(header: str) -> list[str]:
    """Returns the codings that a Content-Encoding names, the last applied first. Raises SourceFailed if unknown."""
    named = [one.strip().lower().removeprefix("x-") for one in header.split(",")]
    found = [one for one in named if one not in ("", "identity")]
    if len(found) > 1 or any(one not in ("gzip", "deflate") for one in found):
        raise SourceFailed("The body has a content coding other than gzip", code="not-supported")
    return found[::-1]


async def inflated(chunks: AsyncIterator[bytes], coding: str, limits: FetchLimits) -> AsyncGenerator[bytes]:
    """Yields the plain bytes, in pieces. `coding`: gzip (of one or more members), deflate, or raw.

    Raises SourceFailed if the data are damaged or end early, and above the limits' ratio.
    """
    inflating = zlib.decompressobj(_WINDOWS[coding])
    before, after = 0, 0
    begun = False

    def counted(piece: bytes) -> bytes:
        nonlocal after
        after += len(piece)
        if after > max(limits.unsuspicious, before * limits.ratio):
            raise SourceFailed("The compressed body grows out of all proportion", code="too-costly")
        return piece

    async for chunk in chunks:
        before += len(chunk)
        data = chunk
        while data:
            if inflating.eof:
                if coding != "gzip":
                    raise _damaged()
                data = data.lstrip(b"\0")  # padding behind a member
                if not data:
                    break
                inflating = zlib.decompressobj(_WINDOWS[coding])
            begun = True
            try:
                piece = counted(await in_thread(inflating.decompress, data, _PIECE))
            except zlib.error:
                raise _damaged() from None
            data = inflating.unused_data if inflating.eof else inflating.unconsumed_tail
            if piece:
                yield piece
    while begun and not inflating.eof:
        piece = inflating.decompress(inflating.unconsumed_tail, _PIECE)
        if not piece:
            raise SourceFailed("The compressed body ends early", code="incomplete", again=True)
        yield counted(piece)


def _damaged() -> SourceFailed:
    return SourceFailed("The compressed body is damaged", code="invalid")
