"""Reads bytes into values. The decoder is msgspec's, which is exact but for three things.

- It recurses. So the nesting is measured first, on the brackets that are outside of strings.
- It keeps the last of two members of one name, and reads `-0` as 0. Then the value, written again, differs from the
  body.
- It refuses integers of 4,300 digits. Those, and `-0`, are marked as floats, and the body is decoded again.

So a body is right if its value, written again, equals the body apart from white space: one fast comparison. Only if
they differ, usually because an escape stands for a plain character, is the body searched for duplicate names. All of
this uses methods of bytes: a Python loop over the members would cost more than decoding does.

A call of the decoder blocks all other threads, so a large body is decoded in pieces (`_in_pieces`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import cast

import msgspec

from fhirstore.fhir.json.malformed import (
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

_PIECE = 1024 * 1024  # bytes that one call of the decoder reads at most
_RUN = 128 * 1024  # bytes of small items of an array that are decoded in one call

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

# A string, also one that is never closed. Every repetition is possessive, so that no body makes these backtrack.
_STRING = rb'"(?:[^"\\]++|\\.)*+"?'
_STRINGS_AND_NUMBERS = re.compile(_STRING + rb"|[-0-9][-+.0-9eE]*+", re.DOTALL)
_PERHAPS_MINUS_ZERO = re.compile(rb"-0[\s,\]}]")


def parse(body: bytes, *, max_depth: int = MAX_DEPTH, max_values: int | None = MAX_VALUES) -> JsonObject:
    """Returns the object in `body`. Raises MalformedContent with the byte offset if it is not exactly one JSON object.

    `max_depth` counts the root. Raises ContentTooLarge if there are more than `max_values` values below the root (an
    empty array or object counts twice; None: no limit), because values take far more memory than their text.
    """
    return read(body, max_depth=max_depth, max_values=max_values)[0]


def read(body: bytes, *, max_depth: int = MAX_DEPTH, max_values: int | None = MAX_VALUES) -> tuple[JsonObject, bytes]:
    """Returns what `parse` returns, and the same as compact JSON: `body` without white space, otherwise as it was
    written.

    The bytes keep escapes that a plain character could replace (`\\u00e9`, `\\/`); the values do not. Raises as
    `parse`.
    """
    value, compact = _parse(body, max_depth, max_values)
    if not isinstance(value, dict):
        raise not_an_object(body)
    if b"\\" in body and (b"\\u" in body or b"\\/" in body):
        compact = msgspec.json.format(_without_mark(body), indent=-1)
    return value, compact


def parse_array(body: bytes) -> list[object]:
    """Returns the array in `body`, as for a JSON Patch. Raises as `parse`."""
    value, _ = _parse(body, MAX_DEPTH, MAX_VALUES)
    if not isinstance(value, list):
        raise not_an_array()
    return value


def _parse(body: bytes, max_depth: int, max_values: int | None) -> tuple[object, bytes]:
    """Returns the value, and its JSON."""
    skeleton = body.translate(None, _NOT_STRUCTURE)
    openings = skeleton.count(b"{") + skeleton.count(b"[")
    if max_values is not None and openings + skeleton.count(b",") > max_values:
        refuse_too_many(body, max_values)
    if openings > max_depth and _is_deeper_than(max_depth, body):
        raise too_deep(body, max_depth)
    try:
        value, written = _decode(body, max_depth)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if body.startswith(BYTE_ORDER_MARK):  # looked for here, so that it costs nothing for bodies without one
            return _parse(_without_mark(body), max_depth, max_values)
        raise not_json(body, str(error)) from None  # the error's `object` attribute may hold content
    except RecursionError:
        raise too_deep(body, max_depth) from None
    return value, written


def _without_mark(body: bytes) -> bytes:
    """Returns `body` with blanks instead of its byte order mark, so that byte offsets stay the same."""
    return b"   " + body[3:] if body.startswith(BYTE_ORDER_MARK) else body


def _decode(body: bytes, max_depth: int) -> tuple[object, bytes]:
    if len(body) <= _PIECE:
        value, written = _exact(body)
    else:
        try:
            value, written = _in_pieces(body, max_depth)
        except (msgspec.DecodeError, UnicodeDecodeError):  # its offset is within a piece: decode the whole body
            _DECODER.decode(body)
            raise
    if written == body or written.translate(None, _SPACE) == body.translate(None, _SPACE):
        return value, written
    if body.count(b":") != written.count(b":") or b"\\u003a" in body or b"\\u003A" in body:
        refuse_duplicates(body)  # with an escaped colon in a string the counts prove nothing
    return value, written


def _exact(text: bytes | msgspec.Raw) -> tuple[object, bytes]:
    """Returns the value with all number literals, and its JSON. Of members with one name only the last is in it."""
    try:
        value = _DECODER.decode(text)
    except msgspec.ValidationError:
        value = _decode_marked(bytes(text))  # an integer is too long for msgspec
    written = _ENCODER.encode(value)
    if written != text and _PERHAPS_MINUS_ZERO.search(bytes(text) + b" "):
        value = _decode_marked(bytes(text))
        written = _ENCODER.encode(value)
    return value, written


def _in_pieces(text: bytes | msgspec.Raw, levels: int) -> tuple[object, bytes]:
    """Does what `_exact` does, with one call of the decoder for each part of `text`. `levels`: how deep it may nest.

    Raises what the decoder raises, RecursionError (deeper), ContentTooLarge.
    """
    if len(memoryview(text)) <= _PIECE:
        if _outweighs(levels, bytes(text)):
            raise RecursionError
        return _exact(text)
    try:
        outer = _MEMBERS_OR_ITEMS.decode(refuse_wide_object(text))
    except msgspec.ValidationError:  # a single long string or number
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
    """Yields long parts one by one, and short parts in lists to be decoded in one call."""
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
    """Decodes `body` after `_mark` changed the integers that msgspec would not keep exactly."""
    return _MARKED_DECODER.decode(_STRINGS_AND_NUMBERS.sub(_mark, body))


def _mark(match: re.Match[bytes]) -> bytes:
    """Appends `e+0` to an integer that would not survive, and another 0 to every float that ends in `e+0…`."""
    token = match[0]
    if token.startswith(b'"'):
        return token
    if token.endswith(b"0") and token.rstrip(b"0").endswith(b"e+"):
        return token + b"0"
    if token == b"-0" or (len(token) >= LONG_INTEGER and token.removeprefix(b"-").isdigit()):
        return token + b"e+0"
    return token


def _unmark(literal: str) -> msgspec.Raw:
    """Returns the literal as it was before `_mark`."""
    if literal.endswith("0") and literal.rstrip("0").endswith("e+"):
        return NumberLiteral(literal[:-3] if literal.endswith("e+0") else literal[:-1])
    return NumberLiteral(literal)


_MARKED_DECODER = msgspec.json.Decoder(float_hook=_unmark)


def _is_deeper_than(limit: int, body: bytes) -> bool:
    """Returns whether brackets nest deeper than `limit`. For text that is not JSON the answer may be wrong, but is
    fast.

    Of a body that is decoded in pieces only the beginning is examined; decoding checks each piece.
    """
    if len(body) > _DEPTH_PREFIX and _outweighs(limit, body[:_DEPTH_PREFIX]):
        return True  # a body of brackets only is refused without reading it all
    return len(body) <= _PIECE and _outweighs(limit, body)


def _outweighs(limit: int, text: bytes) -> bool:
    """Returns whether the brackets in `text` nest deeper than `limit`, by removing innermost pairs level by level."""
    if b'\\"' in text:  # without escaped quotes every quote opens or closes a string
        text = _without_escapes(text)
    # Removing two adjacent quotes does not change which characters are inside of strings.
    skeleton = text.translate(None, _NOT_QUOTES_OR_BRACKETS).replace(b'""', b"")
    if b'"' in skeleton:
        skeleton = b"".join(skeleton.split(b'"')[::2])
    skeleton = skeleton.translate(_AS_PARENTHESES)
    for levels in range(limit + 1):  # removed so far, from the innermost
        before = len(skeleton)
        if levels + before // 2 <= limit:
            return False
        skeleton = skeleton.replace(b"()", b"")
        if len(skeleton) == before:
            return levels + skeleton.count(b"(") > limit
    return True


def _without_escapes(text: bytes) -> bytes:
    """Returns `text` without backslashes and the characters they escape."""
    kept, *pieces = text.split(b"\\", _FEW_ESCAPES)
    if len(pieces) == _FEW_ESCAPES:
        # Linear time for any number of escapes; those that are left do no harm.
        return text.replace(b"\\\\", b"").replace(b'\\"', b"")
    parts, escaped = [kept], False  # escaped: the previous piece was a backslash that escapes the next one
    for piece in pieces:
        parts.append(piece if escaped else piece[1:])
        escaped = not piece and not escaped
    return b"".join(parts)
