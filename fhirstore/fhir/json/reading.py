"""From bytes to values. The decoder is msgspec's, which is exact but for three things.

- It recurses. The nesting is measured beforehand, on what is left of the body without strings.
- It keeps the last of two equal members, and reads `-0` as 0. Then the value is not written again as it was.
- It refuses integers of 4,300 digits. They, and `-0`, are marked as floats, and the body is decoded again.

So a body is fine when its value, written again, gives the body, white space aside: one swift comparison. Only where
that fails, mostly because an escape could have been a plain character, is the body looked at more closely. All of this
works at the speed of bytes methods: a Python loop over the members would cost more than decoding does.

A call into the decoder holds up all other threads, so a large body is decoded in pieces (`_in_pieces`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import cast

import msgspec

from fhirstore.fhir.json.refusing import (
    not_an_array,
    not_an_object,
    not_json,
    refuse_duplicates,
    refuse_too_many,
    refuse_wide_object,
    too_deep,
)
from fhirstore.fhir.json.values import LONG_INTEGER, JsonObject, NumberLiteral

MAX_DEPTH = 64
MAX_VALUES = 1_000_000

_PIECE = 1024 * 1024  # bytes that one call of the decoder takes
_RUN = 128 * 1024  # bytes of small items of an array that are decoded together

_DECODER = msgspec.json.Decoder(float_hook=NumberLiteral)
_MEMBERS_OR_ITEMS = msgspec.json.Decoder(dict[str, msgspec.Raw] | list[msgspec.Raw])
_ENCODER = msgspec.json.Encoder()

_SPACE = b" \t\r\n"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_NOT_STRUCTURE = bytes(set(range(256)) - set(b"[]{},"))
_NOT_QUOTES_OR_BRACKETS = bytes(set(range(256)) - set(b'"[]{}'))
_AS_PARENTHESES = bytes.maketrans(b"[]{}", b"()()")
_DEPTH_PREFIX = 8192
_FEW_ESCAPES = 5000

# A string, also one that is never closed. Every repeat is possessive, so that no body makes these backtrack.
_STRING = rb'"(?:[^"\\]++|\\.)*+"?'
_STRINGS_AND_NUMBERS = re.compile(_STRING + rb"|[-0-9][-+.0-9eE]*+", re.DOTALL)
_PERHAPS_MINUS_ZERO = re.compile(rb"-0[\s,\]}]")


def parse(body: bytes, *, max_depth: int = MAX_DEPTH, max_values: int | None = MAX_VALUES) -> JsonObject:
    """The object that `body` holds. MalformedContent, with the byte offset, for anything else.

    `max_depth` counts the root. ContentTooLarge where there are more than `max_values` values below the root (an
    empty array or object counts twice; None: no limit): what takes megabytes of brackets takes far more memory.
    """
    return read(body, max_depth=max_depth, max_values=max_values)[0]


def read(body: bytes, *, max_depth: int = MAX_DEPTH, max_values: int | None = MAX_VALUES) -> tuple[JsonObject, bytes]:
    """What `parse` gives, and the same as compact JSON: `body` without white space, all else as it was written.

    The values do not remember escapes that a string can do without (`\\u00e9`, `\\/`), the bytes do. Raises as `parse`.
    """
    value, compact = _parse(body, max_depth, max_values)
    if not isinstance(value, dict):
        raise not_an_object(body)
    if b"\\" in body and (b"\\u" in body or b"\\/" in body):
        compact = msgspec.json.format(_without_mark(body), indent=-1)
    return value, compact


def parse_array(body: bytes) -> list[object]:
    """The array that `body` holds, as a JSON Patch does. Raises as `parse`."""
    value, _ = _parse(body, MAX_DEPTH, MAX_VALUES)
    if not isinstance(value, list):
        raise not_an_array()
    return value


def _parse(body: bytes, max_depth: int, max_values: int | None) -> tuple[object, bytes]:
    """The value, and how it is written."""
    skeleton = body.translate(None, _NOT_STRUCTURE)
    openings = skeleton.count(b"{") + skeleton.count(b"[")
    if max_values is not None and openings + skeleton.count(b",") > max_values:
        refuse_too_many(body, max_values)
    if openings > max_depth and _is_deeper_than(max_depth, body):
        raise too_deep(body, max_depth)
    try:
        value, written = _decode(body, max_depth)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if body.startswith(BYTE_ORDER_MARK):  # looked for here, where it costs the bodies without one nothing
            return _parse(_without_mark(body), max_depth, max_values)
        raise not_json(body, str(error)) from None  # its text and its `object` attribute may hold content
    except RecursionError:
        raise too_deep(body, max_depth) from None
    return value, written


def _without_mark(body: bytes) -> bytes:
    """`body` with blanks where its byte order mark was, so that every byte stays in its place."""
    return b"   " + body[3:] if body.startswith(BYTE_ORDER_MARK) else body


def _decode(body: bytes, max_depth: int) -> tuple[object, bytes]:
    if len(body) <= _PIECE:
        value, written = _exact(body)
    else:
        try:
            value, written = _in_pieces(body, max_depth)
        except (msgspec.DecodeError, UnicodeDecodeError):  # which says at which byte of a piece
            _DECODER.decode(body)
            raise
    if written == body or written.translate(None, _SPACE) == body.translate(None, _SPACE):
        return value, written
    if body.count(b":") != written.count(b":") or b"\\u003a" in body or b"\\u003A" in body:
        refuse_duplicates(body)  # or a string has an escaped colon, and the count proves nothing
    return value, written


def _exact(text: bytes | msgspec.Raw) -> tuple[object, bytes]:
    """The value, with all literals, but perhaps not all members; and how that is written."""
    try:
        value = _DECODER.decode(text)
    except msgspec.ValidationError:
        value = _decode_marked(bytes(text))  # an integer is too long
    written = _ENCODER.encode(value)
    if written != text and _PERHAPS_MINUS_ZERO.search(bytes(text) + b" "):
        value = _decode_marked(bytes(text))
        written = _ENCODER.encode(value)
    return value, written


def _in_pieces(text: bytes | msgspec.Raw, levels: int) -> tuple[object, bytes]:
    """`_exact`, by calls of the decoder for a part of `text` each, which may nest so many levels.

    Raises as the decoder, RecursionError (deeper), ContentTooLarge.
    """
    if len(memoryview(text)) <= _PIECE:
        if _outweighs(levels, bytes(text)):
            raise RecursionError
        return _exact(text)
    try:
        outer = _MEMBERS_OR_ITEMS.decode(refuse_wide_object(text))
    except msgspec.ValidationError:  # one long string or number
        return _exact(text)
    if not levels:
        raise RecursionError
    if isinstance(outer, dict):
        members: JsonObject = {}
        parts: list[bytes] = []
        for name, part in outer.items():
            members[name], written = _in_pieces(part, levels - 1)
            parts.append(b"%s:%s" % (_ENCODER.encode(name), written))
        return members, b"{%s}" % b",".join(parts)
    items: list[object] = []
    parts = []
    for run in _runs(outer):
        if isinstance(run, list):
            value, written = _in_pieces(b"[%s]" % b",".join(run), levels)
            items += cast("list[object]", value)
            parts.append(written[1:-1])
        else:
            value, written = _in_pieces(run, levels - 1)
            items.append(value)
            parts.append(written)
    return items, b"[%s]" % b",".join(parts)


def _runs(parts: list[msgspec.Raw]) -> Iterator[msgspec.Raw | list[msgspec.Raw]]:
    """Long parts as they are; short ones together, as many as are decoded in one call."""
    run: list[msgspec.Raw] = []
    size = 0
    for part in parts:
        length = len(memoryview(part))
        if run and size + length > _RUN:
            yield run
            run, size = [], 0
        if length > _RUN:
            yield part
        else:
            run.append(part)
            size += length + 1
    if run:
        yield run


def _decode_marked(body: bytes) -> object:
    return _MARKED_DECODER.decode(_STRINGS_AND_NUMBERS.sub(_mark, body))


def _mark(match: re.Match[bytes]) -> bytes:
    """Append `e+0` to an integer that would not survive, and a further 0 to every float that ends in `e+0…`."""
    token = match[0]
    if token.startswith(b'"'):
        return token
    if token.endswith(b"0") and token.rstrip(b"0").endswith(b"e+"):
        return token + b"0"
    if token == b"-0" or (len(token) >= LONG_INTEGER and token.removeprefix(b"-").isdigit()):
        return token + b"e+0"
    return token


def _unmark(literal: str) -> msgspec.Raw:
    """The literal as it was before `_mark`."""
    if literal.endswith("0") and literal.rstrip("0").endswith("e+"):
        return NumberLiteral(literal[:-3] if literal.endswith("e+0") else literal[:-1])
    return NumberLiteral(literal)


_MARKED_DECODER = msgspec.json.Decoder(float_hook=_unmark)


def _is_deeper_than(limit: int, body: bytes) -> bool:
    """Whether brackets nest deeper than `limit`. In text that is not JSON the answer may be wrong, but is swift.

    Of a body that is decoded in pieces only the beginning is looked at; the pieces tell.
    """
    if len(body) > _DEPTH_PREFIX and _outweighs(limit, body[:_DEPTH_PREFIX]):
        return True  # answers the usual attack without reading it all
    return len(body) <= _PIECE and _outweighs(limit, body)


def _outweighs(limit: int, text: bytes) -> bool:
    if b'\\"' in text:  # otherwise every quote opens or closes a string
        text = _without_escapes(text)
    # Taking out a pair of adjacent quotes leaves every other character inside or outside of strings as it was.
    skeleton = text.translate(None, _NOT_QUOTES_OR_BRACKETS).replace(b'""', b"")
    if b'"' in skeleton:
        skeleton = b"".join(skeleton.split(b'"')[::2])
    skeleton = skeleton.translate(_AS_PARENTHESES)
    for levels in range(limit + 1):  # taken off, from the innermost
        before = len(skeleton)
        if levels + before // 2 <= limit:
            return False
        skeleton = skeleton.replace(b"()", b"")
        if len(skeleton) == before:
            return levels + skeleton.count(b"(") > limit
    return True


def _without_escapes(text: bytes) -> bytes:
    """`text` without backslashes and the characters they escape."""
    kept, *pieces = text.split(b"\\", _FEW_ESCAPES)
    if len(pieces) == _FEW_ESCAPES:
        return text.replace(b"\\\\", b"").replace(b'\\"', b"")  # same speed however many; the rest does no harm
    parts, escaped = [kept], False  # whether the piece before was a backslash that the next one escapes
    for piece in pieces:
        parts.append(piece if escaped else piece[1:])
        escaped = not piece and not escaped
    return b"".join(parts)
