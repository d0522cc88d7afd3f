"""The Range and If-Range headers (https://www.rfc-editor.org/rfc/rfc9110#section-14).

A malformed Range, one of another unit, and one of several parts are ignored, as the RFC allows: the client gets the
whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_RANGE = re.compile(r"\s*bytes\s*=\s*(\d{0,18})-(\d{0,18})\s*", re.IGNORECASE | re.ASCII)


class OutOfRange(Exception):
    """The part that a client asks for begins behind the end."""


def asked_range(headers: Mapping[bytes, bytes], *, size: int, tag: str) -> tuple[int, int] | None:
    """Returns the part of `size` bytes that is asked for, [start, end); None for the whole.

    `tag`: the strong entity tag of the whole, with its quotes; where If-Range has another, the client gets the whole.
    Raises OutOfRange.
    """
    found = _RANGE.fullmatch(headers.get(b"range", b"").decode("latin-1"))
    if found is None or (b"if-range" in headers and headers[b"if-range"].decode("latin-1").strip() != tag):
        return None
    first, last = found.groups()
    if not first and not last:
        return None
    if not first:  # the last bytes
        if int(last) == 0 or size == 0:
            raise OutOfRange
        return max(0, size - int(last)), size
    start, end = int(first), min(int(last) + 1 if last else size, size)
    if last and int(last) < int(first):
        return None
    if start >= size:
        raise OutOfRange
    return start, end
