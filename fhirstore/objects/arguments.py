"""What a caller may ask of any store: keys, ranges and limits that all of them understand alike.

Without these checks a call that one store accepts is damage or an unknown outcome on another.
"""

from __future__ import annotations

import re

from fhirstore.errors import RequestRefused

LONGEST_KEY = 900
"""Bytes of a key. S3 takes 1,024 with the prefix of the store."""

LONGEST_SEGMENT = 255
"""Bytes between two slashes: some S3 servers keep them as the names of files."""

_SEGMENT = re.compile(r"(?!\.{1,2}(?:/|$))[^/\\\x00-\x1f\x7f]+")
_KEY = re.compile(rf"{_SEGMENT.pattern}(?:/{_SEGMENT.pattern})*")
_MOST_LISTED = 1_000


def check_key(key: str) -> None:
    """Raises RequestRefused for a key that not every store takes and gives back as it is."""
    if not (_is(key, str) and _KEY.fullmatch(key)):
        raise RequestRefused(
            detail="a key is text of segments between single slashes, none of them '.' or '..', without a backslash or"
            " a control character"
        )
    try:
        encoded = key.encode()
    except UnicodeEncodeError as error:
        raise RequestRefused(detail="a key must be Unicode text") from error
    if len(encoded) > LONGEST_KEY or max(map(len, encoded.split(b"/"))) > LONGEST_SEGMENT:
        limits = f"{LONGEST_KEY} bytes at most, and {LONGEST_SEGMENT} between two slashes"
        raise RequestRefused(key[:100], f"the key is too long; use {limits}")


def check_body(key: str, body: bytes) -> None:
    """Raises TypeError for a body that is not bytes, such as text, before anything is sent."""
    if not _is(body, bytes):
        raise TypeError(f"{key}: the body must be bytes, not {type(body).__name__}")


def check_range(key: str, start: int, end: int | None) -> None:
    """Raises RequestRefused for bounds below 0: they count from the begin, not as those of a slice."""
    if start < 0 or (end is not None and end < 0):
        raise RequestRefused(key, "start and end of a range are 0 or more; stat tells the size")


def check_limit(limit: int) -> None:
    """Raises RequestRefused for a page that no store lists."""
    if not 1 <= limit <= _MOST_LISTED:
        raise RequestRefused(detail=f"limit is {limit}; use 1 to {_MOST_LISTED}")


def _is(value: object, kind: type) -> bool:
    return isinstance(value, kind)
