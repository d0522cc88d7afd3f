"""Exact JSON as ordinary Python values, for callers of the library: what `dumping.py` writes."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from fhirstore.errors import InvalidResource
from fhirstore.fhir.json.values import JsonObject, NumberLiteral


def with_decimals(resource: JsonObject) -> JsonObject:
    """Returns what `parse` gave, with a Decimal in place of each number literal: `1.00` is Decimal("1.00").

    Raises InvalidResource for an exponent of 19 digits or more.
    """
    return {name: _plain(value) for name, value in resource.items()}


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, NumberLiteral):
        try:
            return Decimal(bytes(value).decode("ascii"))
        except InvalidOperation:
            raise InvalidResource("A number has an exponent that no Decimal can hold", code="value") from None
    return value
