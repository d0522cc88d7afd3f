"""Exact JSON: bytes in, bytes out, and nothing that a client wrote is lost or guessed at in between.

`parse` accepts RFC 8259 and nothing else: UTF-8 without a byte order mark, one object at the root, no member
named twice, no lone surrogates, nesting up to `max_depth`. Numbers come back as `int`, or as a `NumberLiteral`
(the bytes of the literal) when an int could not be written back digit for digit: `1.00`, `1E2`, `-0`, integers
of thousands of digits. `encode` writes what `parse` gave as compact JSON with the order of members kept.

The decoder is msgspec's, which is exact but for three things. Each is handled here at the speed of bytes
methods, since a Python loop over the members would cost more than decoding does:

- It keeps the last of two equal members. The body then has more colons than its re-encoding. (Where an escape,
  `\\u003a`, hides a colon, the count proves nothing, and the body is scanned member by member.)
- It recurses. The nesting is measured beforehand, on what is left of the body without strings.
- It reads `-0` as 0 and refuses integers of 4,300 digits. Such literals are first marked as floats.

https://www.rfc-editor.org/rfc/rfc8259 · https://hl7.org/fhir/R4/json.html ("Property names SHALL be unique")
· https://hl7.org/fhir/R4/datatypes.html#decimal ("the precision of the decimal value has significance")
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeAlias

import msgspec

from fhirstore.errors import InvalidResource, MalformedContent

JsonObject: TypeAlias = dict[str, object]
"""A parsed object. Values are `JsonObject`, list, str, bool, None, int or `NumberLiteral`, never float."""

NumberLiteral = msgspec.Raw
"""A number as it was written: `bytes(literal)` is its text. Equal bytes compare equal; it cannot be hashed."""

MAX_DEPTH = 64

_DECODER = msgspec.json.Decoder(float_hook=NumberLiteral)
_ENCODER = msgspec.json.Encoder()
_EPOCH = datetime(1970, 1, 1)  # naive: only added to, and printed with a Z

_NOT_QUOTES_OR_BRACKETS = bytes(set(range(256)) - set(b'"[]{}'))
_AS_PARENTHESES = bytes.maketrans(b"[]{}", b"()()")
_DEPTH_PREFIX = 8192

# A string, also one that is never closed. Every repeat is possessive, so that no body makes these backtrack.
_STRING = rb'"(?:[^"\\]++|\\.)*+"?'
_STRINGS_AND_NUMBERS = re.compile(_STRING + rb"|[-0-9][-+.0-9eE]*+", re.DOTALL)
_NAMES_AND_BRACES = re.compile(rb"(" + _STRING + rb")([ \t\r\n]*+:)?|([{}])", re.DOTALL)
_PERHAPS_MINUS_ZERO = re.compile(rb"-0[\s,\]}]")
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?")
_LONG_INTEGER = 4000  # characters; msgspec gives up at 4,300
_UP_TO_LONE_SURROGATE = re.compile(
    rb"(?:[^\\]++|\\[^u]|\\u(?![dD][89a-fA-F])|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})*+",
    re.DOTALL,
)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_NOT_A_NUMBER = re.compile(rb"NaN|Infinity")
_DECODER_MESSAGE = re.compile(r"JSON is malformed: (.*) \(byte (\d+)\)")
_ELEMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


# --- reading ------------------------------------------------------------------------------------------------


def parse(body: bytes, *, max_depth: int = MAX_DEPTH) -> JsonObject:
    """The object that `body` holds; MalformedContent, with the byte offset where known, for anything else."""
    if _is_deeper_than(max_depth, body):
        raise _too_deep(max_depth)
    try:
        value = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _explain(body, str(error)) from None  # its text and its `object` attribute may hold content
    except RecursionError:
        raise _too_deep(max_depth) from None
    if not isinstance(value, dict):
        raise MalformedContent("The JSON is not an object; a FHIR resource is one", offset=0)
    if body.count(b":") != _ENCODER.encode(value).count(b":") or _hides_a_colon(body):
        _refuse_duplicates(body)
    return value


def _decode(body: bytes) -> object:
    if not _PERHAPS_MINUS_ZERO.search(body):
        try:
            return _DECODER.decode(body)
        except msgspec.ValidationError:
            pass  # an integer that is too long
    return _MARKED_DECODER.decode(_STRINGS_AND_NUMBERS.sub(_mark, body))


def _mark(match: re.Match[bytes]) -> bytes:
    """Append `e+0` to an integer that would not survive, and a further 0 to every float that ends in `e+0…`."""
    token = match[0]
    if token.startswith(b'"'):
        return token
    if token.endswith(b"0") and token.rstrip(b"0").endswith(b"e+"):
        return token + b"0"
    if token == b"-0" or (len(token) >= _LONG_INTEGER and token.removeprefix(b"-").isdigit()):
        return token + b"e+0"
    return token


def _unmark(literal: str) -> msgspec.Raw:
    """The literal as it was before `_mark`."""
    if literal.endswith("0") and literal.rstrip("0").endswith("e+"):
        return NumberLiteral(literal[:-3] if literal.endswith("e+0") else literal[:-1])
    return NumberLiteral(literal)


_MARKED_DECODER = msgspec.json.Decoder(float_hook=_unmark)


def _is_deeper_than(limit: int, body: bytes) -> bool:
    if body.count(b"{") + body.count(b"[") <= limit:
        return False
    if len(body) > _DEPTH_PREFIX and _outweighs(limit, body[:_DEPTH_PREFIX]):
        return True  # answers the usual attack without reading it all
    return _outweighs(limit, body)


def _outweighs(limit: int, text: bytes) -> bool:
    """Whether brackets nest deeper than `limit`. In text that is not JSON the answer may be wrong, but is swift."""
    if b'\\"' in text:  # otherwise every quote opens or closes a string
        text = _without_escapes(text)
    # Taking out a pair of adjacent quotes leaves every other character inside or outside of strings as it was.
    skeleton = text.translate(None, _NOT_QUOTES_OR_BRACKETS).replace(b'""', b"")
    if b'"' in skeleton:
        skeleton = b"".join(skeleton.split(b'"')[::2])
    skeleton = skeleton.translate(_AS_PARENTHESES)
    if b"(" * (limit + 1) in skeleton:
        return True
    for _ in range(limit + 1):
        before = len(skeleton)
        skeleton = skeleton.replace(b"()", b"")
        if len(skeleton) == before:
            return skeleton.count(b"(") > limit
    return True


def _without_escapes(text: bytes) -> bytes:
    """`text` without backslashes and the characters they escape."""
    if text.count(b"\\") * 64 > len(text):
        return text.replace(b"\\\\", b"").replace(b'\\"', b"")  # same speed however many; the rest does no harm
    kept, *pieces = text.split(b"\\")
    parts, escaped = [kept], False  # whether the piece before was a backslash that the next one escapes
    for piece in pieces:
        parts.append(piece if escaped else piece[1:])
        escaped = not piece and not escaped
    return b"".join(parts)


def _hides_a_colon(body: bytes) -> bool:
    return b"\\" in body and b"\\u003" in body and (b"\\u003a" in body or b"\\u003A" in body)


def _refuse_duplicates(body: bytes) -> None:
    """MalformedContent at the first member (of well-formed JSON) whose name its object has had before."""
    names: list[set[bytes]] = []
    for match in _NAMES_AND_BRACES.finditer(body):
        name, colon, brace = match.groups()
        if brace == b"{":
            names.append(set())
        elif brace:
            names.pop()
        elif colon:
            if b"\\" in name:
                name = _ENCODER.encode(_DECODER.decode(name))
            if name in names[-1]:
                raise _duplicate(name, match.start())
            names[-1].add(name)


# --- what is wrong ------------------------------------------------------------------------------------------


def _duplicate(quoted: bytes, offset: int) -> MalformedContent:
    name = str(_DECODER.decode(quoted))
    # A FHIR element name is worth saying; anything else may be somebody's data.
    member = f'The member "{name}"' if _ELEMENT_NAME.fullmatch(name) else "A member"
    return MalformedContent(f"{member} occurs twice in one object, again at byte {offset}", offset=offset)


def _too_deep(limit: int) -> MalformedContent:
    return MalformedContent(f"The JSON nests deeper than {limit} levels")


def _explain(body: bytes, message: str) -> MalformedContent:
    """Why the decoder, which said `message`, could not read `body`."""
    if not body.strip(b" \t\r\n"):
        return MalformedContent("The body is empty", offset=0)
    if body.startswith(b"\xef\xbb\xbf"):
        return MalformedContent("The body starts with a byte order mark, which JSON must not have", offset=0)
    if body.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in body[:4]:
        return MalformedContent("The body is UTF-16 or UTF-32; JSON must be UTF-8", offset=0)
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return MalformedContent(f"The body is not UTF-8 at byte {error.start}", offset=error.start)
    at = _DECODER_MESSAGE.match(message)
    offset = min(int(at[2]), len(body)) if at else len(body)
    healthy = _UP_TO_LONE_SURROGATE.match(body)
    if healthy and healthy.end() < offset and _SURROGATE.match(body, healthy.end()):
        offset = healthy.end()
        return MalformedContent(f"Not JSON: half of a surrogate pair at byte {offset}", offset=offset)
    if not at:
        return MalformedContent("Not JSON: it ends too early", offset=offset)
    if _NOT_A_NUMBER.match(body, offset):
        return MalformedContent(f"Not JSON: NaN and Infinity are no numbers, at byte {offset}", offset=offset)
    # The decoder points at the end of the offending token.
    return MalformedContent(f"Not JSON: {at[1]} near byte {offset}", offset=offset)


# --- writing ------------------------------------------------------------------------------------------------


def encode(value: JsonObject) -> bytes:
    """Compact JSON of what `parse` gave: UTF-8, order of members and number literals kept."""
    return _ENCODER.encode(value)


def with_identity(resource: JsonObject, *, id: str, version: int, last_updated: int) -> bytes:
    """Compact JSON of `resource` with `id`, `meta.versionId` and `meta.lastUpdated` (epoch ms) set.

    Members that are there keep their place; a new `id` follows `resourceType`, a new `meta` follows `id`.
    InvalidResource when `meta` is there and not an object. `resource` stays as it is.
    """
    old_meta = resource.get("meta", _NO_META)
    if not isinstance(old_meta, dict):
        raise InvalidResource("meta is not an object", expression=(f"{_type_name(resource)}.meta",), code="structure")
    meta = {**old_meta, "versionId": str(version), "lastUpdated": instant(last_updated)}
    if "id" in resource and "meta" in resource:
        return _ENCODER.encode({**resource, "id": id, "meta": meta})
    ordered: JsonObject = {}
    if "id" not in resource:
        if "resourceType" in resource:
            ordered["resourceType"] = None
        ordered["id"] = None
        if "meta" not in resource:
            ordered["meta"] = None
    else:
        for name in resource:
            ordered[name] = None
            if name == "id":
                ordered["meta"] = None
    return _ENCODER.encode({**ordered, **resource, "id": id, "meta": meta})


_NO_META: JsonObject = {}


def instant(ms: int) -> str:
    """Epoch milliseconds as a FHIR instant in UTC: `2026-11-20T04:47:24.123Z`."""
    return (_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds") + "Z"


def dump(value: Mapping[str, object]) -> bytes:
    """Compact JSON of ordinary Python values: mappings, lists, tuples, str, bool, None, int, float, Decimal.

    A Decimal is written with its digits (`Decimal("1.00")` as 1.00). What JSON cannot say (NaN, a set, a date, a
    name that is not text, a lone surrogate, a value that holds itself) is InvalidResource with its expression.
    """
    return _ENCODER.encode(_plain(value, _type_name(value), MAX_DEPTH))


def _plain(value: object, path: str, levels: int) -> object:
    """`value` in terms of what `parse` gives."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, path)
    if isinstance(value, int):
        # str() of an int has a limit of digits, a Decimal's has none.
        return int(value) if value.bit_length() < _LONG_INTEGER else _literal(str(Decimal(value)), path)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidResource("NaN and infinity are not JSON", expression=(path,), code="value")
        return float(value)
    if isinstance(value, Decimal):
        return _literal(str(value), path)
    if isinstance(value, NumberLiteral):
        return _literal(bytes(value).decode("latin-1"), path)
    if not levels:
        raise InvalidResource(f"Nests deeper than {MAX_DEPTH} levels", expression=(path,), code="structure")
    if isinstance(value, Mapping):
        return {_text(name, path): _plain(item, f"{path}.{name}", levels - 1) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{path}[{index}]", levels - 1) for index, item in enumerate(value)]
    raise InvalidResource(f"A Python {type(value).__name__} is not JSON", expression=(path,), code="structure")


def _text(value: object, path: str) -> str:
    if not isinstance(value, str):
        raise InvalidResource("A member's name is not text", expression=(path,), code="structure")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidResource("Half of a surrogate pair is not text", expression=(path,), code="value") from None
    return str.__str__(value)  # a str subclass is written as the text it is


def _literal(text: str, path: str) -> msgspec.Raw:
    if not _NUMBER.fullmatch(text.encode()):
        raise InvalidResource("Not a JSON number", expression=(path,), code="value")
    return NumberLiteral(text)


def _type_name(resource: Mapping[str, object]) -> str:
    name = resource.get("resourceType")
    return name if isinstance(name, str) and _ELEMENT_NAME.fullmatch(name) else "Resource"
