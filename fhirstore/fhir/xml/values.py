"""Primitive values: converts between the text of a `value` attribute and its JSON value.

A number keeps its digits in both directions (https://hl7.org/fhir/R4/datatypes.html#decimal). Text that is not the
boolean or number it should be stays text, so that validation reports it in the same words as for JSON.
"""

from __future__ import annotations

import re

from fhirstore.fhir.definitions.facts import Primitive
from fhirstore.fhir.json import NumberLiteral

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?")
_INTEGER = re.compile(r"-?[0-9]++")
_PLUS = re.compile(r"\+(?=[0-9])")
_LONG_INTEGER = 4000  # characters from which fhirstore.fhir.json keeps the literal as well
_SLICE = 1024 * 1024  # characters
_XML_SPACE = " \t\r\n"
_BOOLEANS = {"true": True, "false": False}
# "SHOULD trim leading and trailing whitespace when reading", but in these types white space may be content.
_FREE_TEXT = frozenset({"string", "markdown", "base64Binary"})

_FORBIDDEN = re.compile("[^\\t\\n\\r\\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SPECIAL = re.compile(r"[&<>\"\t\r\n]")


def json_value(text: str, primitive: Primitive) -> object:
    """Returns the JSON value of `text`: bool, int, NumberLiteral or str."""
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
    """Returns the same value that fhirstore.fhir.json.parse returns for this literal."""
    if literal != "-0" and len(literal) < _LONG_INTEGER and _INTEGER.fullmatch(literal):
        return int(literal)
    return NumberLiteral(literal)


def xml_text(value: object) -> str | None:
    """Returns the text of a JSON value, not escaped; None for an object, an array or null."""
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
    """Returns whether one of these characters is in the text. Searches in slices, because a search blocks all other
    threads.
    """
    if len(text) <= _SLICE:
        return character.search(text) is not None
    return any(character.search(text, start, start + _SLICE) for start in range(0, len(text), _SLICE))


def is_writable(text: str) -> bool:
    """Returns whether XML 1.0 has all of these characters, escaped or not. It lacks most control characters."""
    return not _has(_FORBIDDEN, text)


def escape(text: str) -> str:
    """Returns `text` as it stands between the quotes of an attribute; white space survives attribute normalization."""
    if not _has(_SPECIAL, text):
        return text
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    return text.replace("\t", "&#9;").replace("\n", "&#10;").replace("\r", "&#13;")
