"""When two JSON values are the same: https://www.rfc-editor.org/rfc/rfc6902#section-4.6."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from fhirstore.fhir.json import NumberLiteral


def same(one: object, other: object) -> bool:
    """Numbers by value, `1.0` is `1`; arrays in order; objects whatever their order."""
    if _is_number(one) and _is_number(other):
        return one == other or _same_number(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


def _is_number(value: object) -> bool:
    return isinstance(value, NumberLiteral) or (isinstance(value, int) and not isinstance(value, bool))


def _same_number(one: object, other: object) -> bool:
    try:
        return _decimal(one) == _decimal(other)
    except InvalidOperation:  # an exponent of 20 digits
        return False


def _decimal(number: object) -> Decimal:
    return Decimal(bytes(number).decode("ascii")) if isinstance(number, NumberLiteral) else Decimal(str(number))
