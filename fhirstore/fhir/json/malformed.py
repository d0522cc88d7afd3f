"""Explains why a body is refused, and at which byte. Runs on refused bodies only; no message repeats content."""

from __future__ import annotations

import re

import msgspec

from fhirstore.errors import ContentTooLarge, MalformedContent
from fhirstore.fhir.json.values import is_element_name

# Every repetition is possessive, so that no body makes these patterns backtrack.
_OTHER_THAN = rb'(?:[^"%s]++|"(?:[^"\\]++|\\.)*+")*+'  # skips strings as a whole
_BRACKET = re.compile(_OTHER_THAN % rb"\[\]{}" + rb"([\[\]{}])", re.DOTALL)
_NAMES_AND_BRACES = re.compile(rb'("(?:[^"\\]++|\\.)*+")([ \t\r\n]*+:)?|([{}])', re.DOTALL)
_UP_TO_LONE_SURROGATE = re.compile(
    rb"(?:[^\\]++|\\[^u]|\\u(?![dD][89a-fA-F])|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}){0,100000}+",
    re.DOTALL,
)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_NOT_A_NUMBER = re.compile(rb"NaN|Infinity")
_SPACE = re.compile(rb"[ \t\r\n]*+")
_SEPARATORS_AT_ONCE = 10_000  # that one match goes past: a match blocks all other threads
_MANY_ESCAPES = 100_000
_SEPARATOR = _OTHER_THAN % rb",\[{" + rb"[,\[{]"
_SEPARATORS = re.compile(rb"(?:%s){%d}+" % (_SEPARATOR, _SEPARATORS_AT_ONCE), re.DOTALL)
_MOST_MEMBERS = 1_000  # of one object; FHIR's own types have a few dozen
_SHORT = rb'"(?:[^"\\]++|\\.){0,64}+"'
_NAME = rb"[ \t\r\n]*+" + _SHORT + rb"[ \t\r\n]*+:[ \t\r\n]*+"
_SMALL = rb"(?:" + _SHORT + rb'|[-+.0-9a-zA-Z]++|\[[^\[\]{}"]*+\]|\{[^\[\]{}"]*+\})[ \t\r\n]*+,'
_WIDE_OBJECT = re.compile(rb"[ \t\r\n]*+\{(?:%s%s){%d}+" % (_NAME, _SMALL, _MOST_MEMBERS), re.DOTALL)
_DECODER_MESSAGE = re.compile(r"JSON is malformed: (.*) \(byte (\d+)\)")
_DECODER = msgspec.json.Decoder()
_ENCODER = msgspec.json.Encoder()


def refuse_too_many(body: bytes, limit: int) -> None:
    """Raises ContentTooLarge with the byte of the first value beyond `limit`. Returns if there is none."""
    body = _without_escapes(body)
    whole, rest = divmod(limit + 1, _SEPARATORS_AT_ONCE)
    end = 0
    for pattern in [_SEPARATORS] * whole + [re.compile(rb"(?:%s){%d}+" % (_SEPARATOR, rest), re.DOTALL)]:
        past = pattern.match(body, end)
        if past is None:
            return
        end = past.end()
    raise ContentTooLarge(f"The JSON has more than {limit} values, at byte {end - 1}; send it in parts")


def _without_escapes(body: bytes) -> bytes:
    """Returns `body`, its escapes overwritten if there are very many: each costs a pattern one step."""
    if body.count(b"\\") <= _MANY_ESCAPES:
        return body
    return body.replace(b"\\\\", b"__").replace(b'\\"', b"__").replace(b"\\", b"_")


def refuse_wide_object(text: bytes | msgspec.Raw) -> bytes | msgspec.Raw:
    """Returns `text`. Raises ContentTooLarge if it is an object that starts with a thousand members of little content.

    Such an object cannot be decoded in pieces, and no FHIR type has that many members.
    """
    if _WIDE_OBJECT.match(text):
        raise ContentTooLarge(f"An object in the JSON has more than {_MOST_MEMBERS:,} members; send it in parts")
    return text


def too_deep(body: bytes, limit: int) -> MalformedContent:
    """Returns the refusal of a body that nests deeper than `limit`, with the byte of the first bracket beyond it."""
    depth = 0
    for bracket in _BRACKET.finditer(_without_escapes(body)):
        depth += 1 if bracket[1] in b"[{" else -1
        if depth > limit:
            at = bracket.end() - 1
            return MalformedContent(f"The JSON nests deeper than {limit} levels, at byte {at}", offset=at)
        if depth < 0:
            at = bracket.end() - 1
            return MalformedContent(f"Not JSON: a closing bracket without an opening one at byte {at}", offset=at)
    return MalformedContent(f"The JSON nests deeper than can be read, up to byte {len(body)}", offset=len(body))


def not_an_array() -> MalformedContent:
    """Returns the refusal of JSON that is not an array."""
    return MalformedContent("The JSON is not an array", offset=0)


def not_an_object(body: bytes) -> MalformedContent:
    """Returns the refusal of JSON that is not an object."""
    at = _SPACE.match(body)
    offset = at.end() if at else 0
    return MalformedContent(f"The JSON is not an object, at byte {offset}; a FHIR resource is one", offset=offset)


def refuse_duplicates(body: bytes) -> None:
    """Raises MalformedContent at the first member whose name its object already has. `body` must be well-formed
    JSON.
    """
    names: list[set[bytes]] = []
    for match in _NAMES_AND_BRACES.finditer(_without_escapes(body)):
        name, colon, brace = match.groups()
        if colon:
            name = body[match.start(1) : match.end(1)]
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


def _duplicate(quoted: bytes, offset: int) -> MalformedContent:
    name = str(_DECODER.decode(quoted))
    member = f'The member "{name}"' if is_element_name(name) else "A member"
    return MalformedContent(f"{member} occurs twice in one object, again at byte {offset}", offset=offset)


def not_json(body: bytes, message: str) -> MalformedContent:
    """Returns the refusal of a body that the decoder could not read; `message` is what the decoder said."""
    if not body.strip(b" \t\r\n"):
        return MalformedContent("The body is empty (byte 0)", offset=0)
    if body.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in body[:4]:
        return MalformedContent("The body is UTF-16 or UTF-32 from byte 0 on; JSON must be UTF-8", offset=0)
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return MalformedContent(f"The body is not UTF-8 at byte {error.start}", offset=error.start)
    at = _DECODER_MESSAGE.match(message)
    offset = min(int(at[2]), len(body)) if at else len(body)
    healthy, before = 0, -1  # bytes without a lone surrogate, counted in steps
    while before < healthy < offset and (found := _UP_TO_LONE_SURROGATE.match(body, healthy)):
        before, healthy = healthy, found.end()
    if healthy < offset and _SURROGATE.match(body, healthy):
        offset = healthy
        return MalformedContent(f"Not JSON: half of a surrogate pair at byte {offset}", offset=offset)
    if not at:
        return MalformedContent(f"Not JSON: it ends too early, at byte {offset}", offset=offset)
    if _NOT_A_NUMBER.match(body, offset):
        return MalformedContent(f"Not JSON: NaN and Infinity are no numbers, at byte {offset}", offset=offset)
    if at[1] == "trailing characters":  # the decoder's offset is one past the first of them
        return MalformedContent(f"Not JSON: trailing characters from byte {offset - 1} on", offset=offset - 1)
    # The decoder's offset is the end of the offending token.
    return MalformedContent(f"Not JSON: {at[1]} near byte {offset}", offset=offset)
