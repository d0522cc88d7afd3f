"""Puts the content of a Binary that lies outside of the resource back into it, as base64, while the answer is sent.

The stored JSON has a marker in the place of `data` (`_data` with the extension `PAYLOAD_MARKER`). The wanted form, JSON
or XML, is made of the resource with a short text in the place of the content; the answer is what is before that text,
the content, and what is after it. So the content is never in memory as a whole, and the length of the answer is known
before it begins.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import msgspec

from fhirstore import PAYLOAD_MARKER

_OCTETS = 192 * 1024  # bytes that are encoded in one call, which blocks the event loop; a multiple of 3
_encode = msgspec.json.encode


@dataclass(frozen=True, slots=True)
class Around:
    """The bytes of a resource before and after its content."""

    before: bytes
    after: bytes

    def length(self, size: int) -> int:
        """Returns the length of the whole with a content of `size` bytes."""
        return len(self.before) + (size + 2) // 3 * 4 + len(self.after)

    async def filled(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yields the whole in pieces; those of the content are 4/3 of its chunks."""
        yield self.before
        async for piece in in_base64(chunks):
            yield piece
        yield self.after


def around(content: bytes, form: Callable[[bytes], bytes]) -> Around:
    """Returns what is around the content of this Binary, stored as JSON, in the form that `form` makes of JSON.

    Raises what `form` raises.
    """
    gap = hashlib.sha256(content).hexdigest()  # no resource contains its own hash; and the text is valid base64
    before, _, after = form(_with_data(content, gap)).partition(gap.encode("ascii"))
    return Around(before, after)


def _with_data(content: bytes, text: str) -> bytes:
    """Returns the resource with `text` as its data, in the marker's place. All other members stay as they are."""
    filled: dict[str, msgspec.Raw] = {}
    for name, raw in _members(content).items():
        if name != "_data":
            filled[name] = raw
            continue
        filled["data"] = msgspec.Raw(_encode(text))
        rest = _without_marker(raw)
        if rest:
            filled["_data"] = msgspec.Raw(_encode(rest))
    return _encode(filled)


class _Extension(msgspec.Struct):
    url: object = None


_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_extension = msgspec.json.Decoder(_Extension).decode


def _without_marker(raw: msgspec.Raw) -> dict[str, msgspec.Raw]:
    """Returns what `_data` has beside the marker."""
    members = _members(raw)
    if "extension" in members:
        others = [one for one in _items(members.pop("extension")) if _extension(one).url != PAYLOAD_MARKER]
        if others:
            members["extension"] = msgspec.Raw(_encode(others))
    return members


async def in_base64(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yields the base64 of the chunks together, in pieces of 256 KiB at most. A byte or two wait for the next chunk."""
    left = b""
    async for chunk in chunks:
        data = memoryview(left + chunk if left else chunk)
        whole = len(data) // 3 * 3
        for start in range(0, whole, _OCTETS):
            yield base64.b64encode(data[start : min(start + _OCTETS, whole)])
        left = bytes(data[whole:])
    if left:
        yield base64.b64encode(left)
