"""Primitive values: the text of a `value` attribute, and what it is in JSON.

A number keeps its digits both ways (https://hl7.org/fhir/R4/datatypes.html#decimal). What is no boolean or number
although it should be one stays text, so that validation names it as it names it in JSON.
"""

from __future__ import annotations

import re

from fhirstore.fhir.definitions.facts import Primitive
from fhirstore.fhir.json import NumberLiteral

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?")
_INTEGER = re.compile(r"-?[0-9]++")
_PLUS = re.compile(r"\+(?=[0-9])")
_LONG_INTEGER = 4000  # characters, beyond which fhirstore.fhir.json keeps the literal, too
_SLICE = 1024 * 1024  # characters
_XML_SPACE = " \t\r\n"
_BOOLEANS = {"true": True, "false": False}
# "SHOULD trim leading and trailing whitespace when reading": not where white space may be content.
_FREE_TEXT = frozenset({"string", "markdown", "base64Binary"})

_FORBIDDEN = re.compile("[^\\t\\n\\r\\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SPECIAL = re.compile(r"[&<>\"\t\r\n]")


def json_value(text: str, primitive: Primitive) -> object:
    """What `text` is in JSON: bool, int, NumberLiteral or str."""
    if primitive.name in _FREE_TEXT:
        return text
    text = text.strip(_XML_SPACE)
    if primitive.json == "boolean":
        return _BOOLEANS.get(text, text)
    if primitive.json in ("integer", "decimal"):
        literal = _PLUS.sub("", text, count=1) if primitive.json == "integer" else text  # JSON has no +1
        return _number(literal) if _NUMBER.fullmatch(literal) else text
    return text


def _number(literal: str) -> object:
    """The same value that fhirstore.fhir.json.parse makes of this literal."""
    if literal != "-0" and len(literal) < _LONG_INTEGER and _INTEGER.fullmatch(literal):
        return int(literal)
    return NumberLiteral(literal)


def xml_text(value: object) -> str | None:
    """The text of a JSON value, not escaped; None for an object, an array or null."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, NumberLiteral):
        return bytes(value).decode("ascii")
    return None


def _has(character: re.Pattern[str], text: str) -> bool:
    """Whether one of these characters is in the text; looked for in slices, as a search lets no other thread go on."""
    if len(text) <= _SLICE:
        return character.search(text) is not None
    return any(character.search(text, start, start + _SLICE) for start in range(0, len(text), _SLICE))


def is_writable(text: str) -> bool:
    """Whether XML 1.0 can hold these characters, be it escaped: most control characters it cannot."""
    return not _has(_FORBIDDEN, text)


def escape(text: str) -> str:
    """`text` as it stands between the quotes of an attribute, safe from the normalization of white space."""
    if not _has(_SPECIAL, text):
        return text
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    return text.replace("\t", "&#9;").replace("\n", "&#10;").replace("\r", "&#13;")
