"""The primitive types: which JSON values each accepts, as predicates that are exact and fast.

Patterns are written here if those of the definitions are too lax (dates that do not exist, codes with double blanks) or
too slow (base64), and to state in words what is expected.

https://hl7.org/fhir/R4/datatypes.html#primitive · https://hl7.org/fhir/R5/datatypes.html#primitive
"""

from __future__ import annotations

import binascii
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from fhirstore.fhir.definitions.facts import Definitions, Primitive
from fhirstore.fhir.json import NumberLiteral
from fhirstore.fhir.validation.narrative import is_narrative

Predicate: TypeAlias = Callable[[object], object]
"""Returns a true value for a valid value. May raise TypeError for a value of the wrong JSON type."""


@dataclass(frozen=True, slots=True)
class ValueCheck:
    """What a primitive accepts. `json`: string, boolean, integer or decimal. `expected`: in words. `code`: of the
    issue.

    `recurs`: the same values are frequent across resources, as for codes and dates, so that accepted ones are
    remembered.
    """

    json: str
    accepts: Predicate
    expected: str
    code: str = "value"
    recurs: bool = False

    def of_kind(self, value: object) -> bool:
        """Returns whether the value has the right JSON type."""
        if self.json == "string":
            return isinstance(value, str)
        if self.json == "boolean":
            return isinstance(value, bool)
        return isinstance(value, int | NumberLiteral) and not isinstance(value, bool)


_YEAR = r"(?!0000)[0-9]{4}"
_LEAP_DAY = r"(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29"
_DAY = (
    r"-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
_FULL_DATE = rf"(?!0000)(?:[0-9]{{4}}{_DAY}|{_LEAP_DAY})"
_PARTIAL_DATE = rf"{_YEAR}(?:-(?:0[1-9]|1[0-2]))?"
_ZONE = r"(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_TEXT = r"[^\x00-\x08\x0b\x0c\x0e-\x1f]"
MOST_CHARACTERS = 1024 * 1024
_MOST_PARTS = 10_000  # of a code or an OID
_WORD = rf"[^\s\x00-\x1f\x7f]{{1,{MOST_CHARACTERS}}}+"


def _time(fraction: str) -> str:
    return rf"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]{fraction})?"


def _matches(pattern: str) -> Predicate:
    return re.compile(pattern, re.ASCII).fullmatch  # type: ignore[return-value] # may raise TypeError, as Predicate says


def _matches_unicode(pattern: str) -> Predicate:
    """Does what `_matches` does, but `\\s` also matches white space outside of ASCII, such as a no-break space."""
    return re.compile(pattern).fullmatch  # type: ignore[return-value] # may raise TypeError, as Predicate says


def _is_boolean(value: object) -> bool:
    return value is True or value is False


def _whole(low: int, high: int) -> Predicate:
    return lambda value: type(value) is int and low <= value <= high


MOST_OF_A_NUMBER = 1000  # characters
_HELD = "0, or 4.9E-324 to 1.79E308 in size, which is what a double holds"
_SHORT_NUMBER = 4  # characters, like 1e99: every number so short is in range
_is_usual = re.compile(rb"-?[0-9.]{1,300}+").fullmatch
_EXPONENT = re.compile(rb"[eE][+-]?0*+([0-9]*+)")
_NOT_ZERO = re.compile(rb"-?[0.]*+[1-9]")
_MOST_OF_AN_EXPONENT = 3  # digits
_WHOLE_BEYOND_A_DOUBLE = 2**1024 - 2**970  # the least integer that rounds to infinity


def _is_number(value: object) -> object:
    if type(value) is NumberLiteral:
        return len(value) <= _SHORT_NUMBER or _is_usual(value) or _is_held_by_a_double(bytes(value))
    return type(value) is int and -_WHOLE_BEYOND_A_DOUBLE < value < _WHOLE_BEYOND_A_DOUBLE


def _is_held_by_a_double(literal: bytes) -> bool:
    """Returns whether clients can hold a number, perhaps with fewer digits.

    JavaScript, Python and others read a number as a double: beyond its range it becomes infinite, which JSON cannot
    express, or 0. Jackson, and so most of Java, refuses more than 1,000 characters; and a decimal type with unbounded
    exponents makes gigabytes of digits from 1e999999999, and of 0e999999999 too.
    """
    if len(literal) > MOST_OF_A_NUMBER:
        return False
    exponent = _EXPONENT.search(literal)
    if exponent and len(exponent[1]) > _MOST_OF_AN_EXPONENT:
        return False
    number = abs(float(literal))
    return number < math.inf and (number > 0 or not _NOT_ZERO.match(literal))


_NO_SPACE = dict.fromkeys(map(ord, " \t\r\n"))


_BASE64_SLICE = 1024 * 1024  # characters, a multiple of 4; decoding blocks all other threads


def _is_base64(value: object) -> bool:
    """Returns whether the value is padded base64 (RFC 4648). White space in between is allowed."""
    if not isinstance(value, str):
        return False
    if len(value) > _BASE64_SLICE:
        return _is_long_base64(value)
    try:
        return bool(binascii.a2b_base64(value, strict_mode=True))
    except ValueError:
        pass
    try:
        return bool(binascii.a2b_base64(value.translate(_NO_SPACE), strict_mode=True))
    except ValueError:  # also: not ASCII
        return False


def _is_long_base64(value: str) -> bool:
    """Does the same slice by slice; only the last slice may be padded."""
    slices = [value[start : start + _BASE64_SLICE] for start in range(0, len(value), _BASE64_SLICE)]
    if any(character in each for each in slices for character in " \t\r\n"):
        plain = "".join([each.translate(_NO_SPACE) for each in slices])
        slices = [plain[start : start + _BASE64_SLICE] for start in range(0, len(plain), _BASE64_SLICE)]
    try:
        return all(binascii.a2b_base64(each, strict_mode=True) for each in slices) and not any(
            each.endswith("=") for each in slices[:-1]
        )
    except ValueError:  # also: not ASCII
        return False


_INTEGER64 = re.compile(r"[-+]?[1-9][0-9]{0,18}|0")


def _is_integer64(value: object) -> bool:
    return isinstance(value, str) and bool(_INTEGER64.fullmatch(value)) and -(2**63) <= int(value) < 2**63


_is_text_with_breaks = _matches(rf"{_TEXT}{{1,{MOST_CHARACTERS}}}+")


def is_text(value: object) -> object:
    if type(value) is not str:
        return False
    if not 0 < len(value) <= MOST_CHARACTERS:
        return False
    # A printable string has no control characters; this test is faster than the pattern.
    return value.isprintable() or _is_text_with_breaks(value)


def _text_check(what: str) -> ValueCheck:
    return ValueCheck(
        "string",
        is_text,
        f"{what}: 1 to {MOST_CHARACTERS} characters, no control characters but tab, CR and LF",
    )


def _uri_check(what: str) -> ValueCheck:
    return ValueCheck("string", _matches_unicode(_WORD), f"{what}: not empty, no blanks", recurs=True)


def _most_32_bits(low: int) -> ValueCheck:
    high = 2**31 - 1
    return ValueCheck(
        "integer", _whole(low, high), f"a whole number from {low} to {high}, without fraction or exponent"
    )


def _decimal_check(release: str) -> ValueCheck:
    """Returns the check for decimals. R5 also limits the digits; earlier releases allow every number that clients can
    hold.
    """
    if release < "5":
        return ValueCheck("decimal", _is_number, f"a number of at most {MOST_OF_A_NUMBER:,} characters: {_HELD}")
    bounded = re.compile(rb"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,17})?(?:[eE][+-]?[0-9]{1,9})?").fullmatch

    def accepts(value: object) -> object:
        if type(value) is int:
            return -(10**18) < value < 10**18
        return isinstance(value, NumberLiteral) and bounded(value) and _is_number(value)

    return ValueCheck("decimal", accepts, f"a number of at most 18 digits before and 17 after the point: {_HELD}")


def primitive_checks(definitions: Definitions) -> Mapping[str, ValueCheck]:
    """Returns the check of every primitive type of the release."""
    fraction = "{1,9}" if definitions.release >= "5" else "+"
    time = _time(fraction)
    own = {
        "base64Binary": ValueCheck("string", _is_base64, "base64 (RFC 4648), not empty"),
        "boolean": ValueCheck("boolean", _is_boolean, "true or false"),
        "canonical": _uri_check("a canonical URL"),
        "code": ValueCheck(
            "string",
            _matches_unicode(rf"{_WORD}(?: {_WORD}){{0,{_MOST_PARTS}}}+"),
            "a code: no blanks at its ends, single ones inside",
            recurs=True,
        ),
        "date": ValueCheck(
            "string",
            _matches(rf"{_FULL_DATE}|{_PARTIAL_DATE}"),
            "a date that exists: YYYY, YYYY-MM or YYYY-MM-DD",
            recurs=True,
        ),
        "dateTime": ValueCheck(
            "string",
            _matches(rf"{_FULL_DATE}(?:T{time}{_ZONE})?|{_PARTIAL_DATE}"),
            "a date that exists, YYYY, YYYY-MM or YYYY-MM-DD, or one with seconds and a time zone, "
            "YYYY-MM-DDThh:mm:ss+zz:zz",
        ),
        "decimal": _decimal_check(definitions.release),
        "id": ValueCheck(
            "string", _matches(r"[A-Za-z0-9.-]{1,64}"), "an id: 1 to 64 characters of A-Z, a-z, 0-9, - and ."
        ),
        "instant": ValueCheck(
            "string",
            _matches(rf"{_FULL_DATE}T{time}{_ZONE}"),
            "an instant that exists, with seconds and a time zone: YYYY-MM-DDThh:mm:ss.sss+zz:zz",
        ),
        "integer": _most_32_bits(-(2**31)),
        "integer64": ValueCheck("string", _is_integer64, "a whole number of 64 bits, as a string"),
        "markdown": _text_check("markdown"),
        "oid": ValueCheck(
            "string",
            _matches(rf"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]{{0,{_MOST_PARTS}}}+)){{1,{_MOST_PARTS}}}+"),
            "an OID: urn:oid:1.2.3",
        ),
        "positiveInt": _most_32_bits(1),
        "string": _text_check("a string"),
        "time": ValueCheck("string", _matches(time), "a time of day with seconds: hh:mm:ss"),
        "unsignedInt": _most_32_bits(0),
        "uri": _uri_check("a URI"),
        "url": _uri_check("a URL"),
        "uuid": ValueCheck(
            "string",
            _matches(r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
            "a UUID in lower case: urn:uuid:c757873d-ec9a-4326-a141-556f43239520",
        ),
        "xhtml": ValueCheck("string", is_narrative, "XHTML in one div"),
    }
    return {name: own.get(name) or _by_pattern(primitive) for name, primitive in definitions.primitives.items()}


def _by_pattern(primitive: Primitive) -> ValueCheck:
    """Returns the check for a type that only a later release has."""
    return ValueCheck(primitive.json, _matches(primitive.pattern or ".*"), f"what {primitive.name} allows")
