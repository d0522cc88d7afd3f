"""Long base64 values, taken out of a document before it is parsed: expat reads a start tag in one call, and a tag with
16 MB of data takes it half a second, in which no other thread goes on.

Each is replaced by a short name, and the reader puts it back where it meets that name as a value.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

_LONG = 1024 * 1024  # bytes; so every long value has a byte at a multiple of it
_BEFORE = b'value="'
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/= \t\r\n"

_SPACES = bytes.maketrans(b"\t\r\n", b"   ")


@dataclass(slots=True)
class LongValues:
    """`document`: without them. `values`: them, by the names that stand there instead; `take` removes them."""

    document: bytes
    values: dict[str, str] = field(default_factory=dict)
    cuts: list[tuple[int, int]] = field(default_factory=list)  # where in `document`, and how many bytes are missing

    def take(self, text: str) -> str:
        """Returns the value that this one stands for, or itself."""
        return self.values.pop(text.rstrip(" "), text) if self.values else text

    def at(self, index: int) -> int:
        """Returns where a byte of `document` is in the whole document."""
        return index + sum(missing for place, missing in self.cuts if place < index)


def set_apart(document: bytes) -> LongValues:
    """Returns the document and its long values."""
    if len(document) < _LONG:
        return LongValues(document)
    found = LongValues(document)
    pieces: list[bytes] = []
    kept = length = 0
    at = _LONG
    while at < len(document):
        start, end = document.rfind(b'"', kept, at) + 1, document.find(b'"', at)
        if end < 0:
            break
        if start and end - start > _LONG and document.endswith(_BEFORE, kept, start):
            value = document[start:end]
            if not value.translate(None, _BASE64):
                name = f"long-{os.urandom(16).hex()}"
                found.values[name] = _normal(value)
                instead = name.encode() + b"\n" * value.count(b"\n")  # so that lines keep their numbers
                pieces += document[kept:start], instead
                length += start - kept + len(instead)
                found.cuts.append((length, len(value) - len(instead)))
                kept = end
        at = end + _LONG - end % _LONG
    found.document = b"".join([*pieces, document[kept:]]) if pieces else document
    return found


def _normal(value: bytes) -> str:
    """As an XML parser gives it: line ends and tabs are spaces (https://www.w3.org/TR/xml/#AVNormalize)."""
    return value.replace(b"\r\n", b"\n").translate(_SPACES).decode("ascii")
