"""Numbers and quantities, compared exactly as decimals.

A number searched for stands for all that round to it: `100` is [99.5, 100.5), `100.00` is [99.995, 100.005), `5.40e-3`
is [0.005395, 0.005405); `1e2` is [95, 105), as the page has it. That is what `eq` and `ne` use; `ap` adds a tenth of
the number on both sides; all other prefixes compare with the number itself. A resource's number is a point; a Range,
or a Quantity with a comparator such as `<`, is an interval, compared as spans of time are.

A quantity may have a unit: `5.4|system|code`, or `5.4||mg`, which is a code or the unit as people read it. Units of
UCUM that convert into each other do so: `1000|http://unitsofmeasure.org|mg` matches 1 g. All others are compared as
they are written. A SampledData matches nothing.

https://hl7.org/fhir/R4/search.html#number · https://hl7.org/fhir/R4/search.html#quantity
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal
from functools import lru_cache
from typing import TypeAlias

from fhirstore.fhir.search_parameters import units
from fhirstore.fhir.search_parameters.values import Interval, interval_of
from fhirstore.index.local.rows import Unit, units_of
from fhirstore.search.criteria.prefixes import split_prefix
from fhirstore.search.criteria.token import split, unescaped

Between: TypeAlias = tuple[units.Unit, units.Unit]
"""A unit, and another one into which it converts."""
_NUMBER = re.compile(r"[-+]?\d{1,100}(?:\.\d{1,100})?(?:[eE][-+]?\d{1,3})?", re.ASCII)
_EXACT = Context(prec=1_000)
_ROUNDING = ("eq", "ne", "ap")


def number_test(text: str) -> Callable[[object], bool]:
    """Returns the test of an element for one value searched for. Raises ValueError."""
    compare = _comparison(sought_number(text))

    def test(value: object) -> bool:
        found = interval_of(value)
        return found is not None and compare(found)

    return test


def quantity_test(text: str) -> Callable[[object], bool]:
    """Returns the test of an element for one value searched for, `number`, `number|system|code` or `number||code`.
    Raises ValueError.
    """
    sought, unit = quantity(text)
    compare = _comparison(sought)

    def test(value: object) -> bool:
        found = interval_of(value) if isinstance(value, dict) else None
        if found is None or not isinstance(value, dict):
            return False
        if unit is None:
            return compare(found)
        for one in units_of(value):
            between = unit.converting(one)
            if between is not None:
                if compare(_converted(found, *between)):
                    return True
            elif unit.matches(one) and compare(found):
                return True
        return False

    return test


@dataclass(frozen=True, slots=True)
class UnitSought:
    """The unit of a quantity searched for. `system` empty: any, then `code` may be the unit as people read it."""

    system: str
    code: str

    def matches(self, unit: Unit) -> bool:
        """Returns whether a quantity's unit, as it is written, is this one."""
        system, code, text = unit
        if self.system:
            return system == self.system and (not self.code or code == self.code)
        return self.code in (code, text)

    def converting(self, unit: Unit) -> Between | None:
        """Returns that unit and this one where both are of UCUM, differ, and convert into each other."""
        system, code, _ = unit
        if not (self.system == system == units.UCUM) or code is None or code == self.code:
            return None
        return _converting(code, self.code)


@lru_cache(maxsize=4_096)
def _converting(code: str, sought: str) -> Between | None:
    theirs, ours = units.unit_of(code), units.unit_of(sought)
    return (theirs, ours) if theirs and ours and theirs.dimension == ours.dimension else None


def quantity(text: str) -> tuple[Sought, UnitSought | None]:
    """Returns a number searched for and its unit, if it has one. Raises ValueError."""
    number, *unit = split(text, "|")
    if len(unit) not in (0, 2):
        raise ValueError("a quantity is number, number|system|code or number||code")
    system, code = (unescaped(part) for part in unit) if unit else ("", "")
    return sought_number(number), UnitSought(system, code) if system or code else None


def _converted(one: Interval, unit: units.Unit, into: units.Unit) -> Interval:
    low, high = units.converted(one.low, unit, into), units.converted(one.high, unit, into)
    return Interval(low, high, one.low_open, one.high_open)


@dataclass(frozen=True, slots=True)
class Sought:
    """A number searched for. `low` until before `high`: what rounds to it; with `ap`, up to `high` and wider; prefixes
    other than `_ROUNDING` do not look at these.
    """

    prefix: str
    number: Decimal
    low: Decimal
    high: Decimal

    def converted(self, unit: units.Unit, into: units.Unit) -> Sought:
        """Returns the same in another unit."""
        if self.prefix not in _ROUNDING:
            number = units.converted(self.number, unit, into)
            return Sought(self.prefix, number, number, number)
        number, low, high = (units.converted(one, unit, into) for one in (self.number, self.low, self.high))
        return Sought(self.prefix, number, low, high)


def sought_number(text: str) -> Sought:
    """Returns a number searched for. Raises ValueError."""
    prefix, digits = split_prefix(text)
    if not _NUMBER.fullmatch(digits):
        raise ValueError("it is no number")
    number = Decimal(digits)
    low, high = _rounding_to(number)
    if prefix == "ap":
        reach = _EXACT.multiply(number.copy_abs(), Decimal("0.1"))
        low, high = min(low, _EXACT.subtract(number, reach)), max(high, _EXACT.add(number, reach))
    return Sought(prefix, number, low, high)


def _comparison(sought: Sought) -> Callable[[Interval], bool]:
    number, low, high = sought.number, sought.low, sought.high
    match sought.prefix:
        case "eq":
            return lambda one: low <= one.low and one.high < high
        case "ne":
            return lambda one: not (low <= one.low and one.high < high)
        case "gt":
            return lambda one: one.high > number
        case "lt":
            return lambda one: one.low < number
        case "ge":
            return lambda one: one.high > number or (one.high == number and not one.high_open)
        case "le":
            return lambda one: one.low < number or (one.low == number and not one.low_open)
        case "sa":
            return lambda one: one.low > number or (one.low_open and one.low == number)
        case "eb":
            return lambda one: one.high < number or (one.high_open and one.high == number)
        case _:  # ap
            return lambda one: one.low <= high and one.high >= low


def _rounding_to(number: Decimal) -> tuple[Decimal, Decimal]:
    """Returns the first number that rounds to this one, and the first that does not any more."""
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)  # noqa: S101 - no infinity
    last_digit = exponent - 1 if exponent > 0 else exponent  # the page's own example: 1e2 is [95, 105)
    half = Decimal(5).scaleb(last_digit - 1)
    return _EXACT.subtract(number, half), _EXACT.add(number, half)
