"""Equality and order of FHIRPath values: dates and times, Quantities, numbers, strings.

None means unknown: dates of different precision, Quantities of different units.

https://hl7.org/fhirpath/N1/#equality · https://hl7.org/fhirpath/N1/#comparison
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from fhirstore.fhir.validation.datetimes import DateTime, TimeOfDay, date_time, order, order_of_times, time_of_day


class Incomparable(Exception):
    """Two values have no order, or an operand has several values."""


@dataclass(frozen=True, slots=True)
class Measure:
    """The value of a Quantity and its unit: system and code, or the unit as text, or nothing."""

    value: int | Decimal
    unit: tuple[str, ...]


def all_of(verdicts: Iterable[bool | None]) -> bool | None:
    """Returns False if one verdict is False, otherwise None if one is unknown, otherwise True."""
    found = list(verdicts)
    if False in found:
        return False
    return None if None in found else True


def equal(one: object, other: object) -> bool | None:
    """Returns whether two values are equal; None if that is unknown."""
    one, other = alike(one, other)
    if isinstance(one, DateTime) and isinstance(other, DateTime):
        return _is_zero(order(one, other))
    if isinstance(one, TimeOfDay) and isinstance(other, TimeOfDay):
        return _is_zero(order_of_times(one, other))
    if isinstance(one, Measure) and isinstance(other, Measure):
        return one.value == other.value if one.unit == other.unit else None
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def order_of(one: object, other: object) -> int | None:
    """Returns -1, 0 or 1 if `one` is less than, equal to or greater than `other`; None if unknown. Raises
    Incomparable.
    """
    one, other = alike(one, other)
    if isinstance(one, DateTime) and isinstance(other, DateTime):
        return order(one, other)
    if isinstance(one, TimeOfDay) and isinstance(other, TimeOfDay):
        return order_of_times(one, other)
    if isinstance(one, Measure) and isinstance(other, Measure):
        return _sign(one.value, other.value) if one.unit == other.unit else None
    if isinstance(one, str) and isinstance(other, str):
        return (one > other) - (one < other)
    if isinstance(one, bool) or isinstance(other, bool):
        raise Incomparable
    if isinstance(one, int | Decimal) and isinstance(other, int | Decimal):
        return _sign(one, other)
    raise Incomparable


def alike(one: object, other: object) -> tuple[object, object]:
    """Returns both values; a string beside a date or time is read as one too, if it can be."""
    return _like(one, other), _like(other, one)


def _like(value: object, model: object) -> object:
    if isinstance(value, str):
        if isinstance(model, DateTime):
            return date_time(value) or value
        if isinstance(model, TimeOfDay):
            return time_of_day(value) or value
    return value


def _sign(one: int | Decimal, other: int | Decimal) -> int:
    return (one > other) - (one < other)


def _is_zero(at: int | None) -> bool | None:
    return None if at is None else at == 0


def measure(quantity: dict[str, object]) -> object:
    """Returns the Measure of a Quantity with an exact value; the object itself if it has a comparator (`<5`) or no
    value.
    """
    value = quantity.get("value")
    if not isinstance(value, int | Decimal) or isinstance(value, bool) or "comparator" in quantity:
        return quantity
    code, system, unit = quantity.get("code"), quantity.get("system"), quantity.get("unit")
    if isinstance(code, str):
        return Measure(value, (str(system or ""), code))
    return Measure(value, (unit,) if isinstance(unit, str) else ())
