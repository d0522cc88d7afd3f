"""Cursors as clients see them: opaque text, base64url of a short JSON array."""

from __future__ import annotations

import base64
import binascii
from typing import TypeVar

import msgspec

_Cursor = TypeVar("_Cursor")


def encode(cursor: msgspec.Struct) -> str:
    """Returns the cursor as text."""
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")


def decode(text: str, decoder: msgspec.json.Decoder[_Cursor], *, longest: int) -> _Cursor:
    """Reads a cursor. Raises ValueError when it is of another kind, or has more than `longest` characters."""
    if len(text) > longest:
        raise ValueError("too long")
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        return decoder.decode(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (UnicodeEncodeError, binascii.Error, msgspec.MsgspecError) as error:
        raise ValueError("not a cursor of this kind") from error
