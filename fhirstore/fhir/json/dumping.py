"""Writes ordinary Python values as exact JSON, for library callers who have no bytes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal

from fhirstore.errors import InvalidResource
from fhirstore.fhir.json.reading import MAX_DEPTH
from fhirstore.fhir.json.values import LONG_INTEGER, JsonObject, NumberLiteral, type_name
from fhirstore.fhir.json.writing import encode

_MOST_DECIMALS = 18  # https://hl7.org/fhir/R4/datatypes.html#decimal: "no more than 18 digits"
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?", re.ASCII)


def dump(value: Mapping[str, object]) -> bytes:
    """Returns compact JSON of ordinary Python values: mappings, lists, tuples, str, bool, None, int, float, Decimal.

    A Decimal keeps its digits (`Decimal("1.00")` becomes 1.00). Raises InvalidResource with the expression for a value
    that JSON does not have: NaN, a set, a date, a member name that is not a str, a lone surrogate, a value that
    contains itself.
    """
    return encode(_members(value, type_name(value), MAX_DEPTH - 1))


def _members(value: Mapping[str, object], path: str, levels: int) -> JsonObject:
    return {_text(name, path): _plain(item, f"{path}.{name}", levels) for name, item in value.items()}


def _plain(value: object, path: str, levels: int) -> object:
    """Returns `value` in the types that `parse` returns."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, path)
    if isinstance(value, int):
        # str() refuses an int of more than 4,300 digits; str() of a Decimal does not.
        return int(value) if value.bit_length() < LONG_INTEGER else _literal(str(Decimal(value)), path)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidResource("JSON has no NaN and no infinity", expression=(path,), code="value")
        return float(value)
    if isinstance(value, Decimal):
        return _literal(_digits(value), path)
    if isinstance(value, NumberLiteral):
        return _literal(bytes(value).decode("latin-1"), path)
    if not levels:
        raise InvalidResource(f"Nests deeper than {MAX_DEPTH} levels", expression=(path,), code="structure")
    if isinstance(value, Mapping):
        return _members(value, path, levels - 1)
    if isinstance(value, list | tuple):
        return [_plain(item, f"{path}[{index}]", levels - 1) for index, item in enumerate(value)]
    raise InvalidResource(f"A Python {type(value).__name__} has no JSON form", expression=(path,), code="structure")


def _text(value: object, path: str) -> str:
    if not isinstance(value, str):
        raise InvalidResource("The name of a member is not a str", expression=(path,), code="structure")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidResource(
            "A str holds half of a surrogate pair, which is not a character", expression=(path,), code="value"
        ) from None
    return str.__str__(value)  # for a subclass of str, such as a StrEnum


def _digits(value: Decimal) -> str:
    """Its text, without an exponent where that says no less: `0.0000001` is not written as 1E-7."""
    exponent = value.as_tuple().exponent
    return format(value, "f") if isinstance(exponent, int) and -_MOST_DECIMALS <= exponent <= 0 else str(value)


def _literal(text: str, path: str) -> NumberLiteral:
    if not _NUMBER.fullmatch(text):
        raise InvalidResource("Not a JSON number", expression=(path,), code="value")
    return NumberLiteral(text)
