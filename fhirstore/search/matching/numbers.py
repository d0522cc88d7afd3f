"""Numbers and quantities, compared exactly as decimals.

A number searched for stands for all that round to it: `100` is [99.5, 100.5), `100.00` is [99.995, 100.005), `5.40e-3`
is [0.005395, 0.005405); `1e2` is [95, 105), as the page has it. That is what `eq` and `ne` use; `ap` adds a tenth of
the number on both sides; all other prefixes compare with the number itself. A resource's number is a point; a Range,
or a Quantity with a comparator such as `<`, is an interval, compared as spans of time are.

A quantity may have a unit: `5.4|system|code`, or `5.4||mg`, which is a code or the unit as people read it. Units are
compared as they are written: `1000|http://unitsofmeasure.org|mg` does not match 1 g. A SampledData matches nothing.

https://hl7.org/fhir/R4/search.html#number · https://hl7.org/fhir/R4/search.html#quantity
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal, InvalidOperation

from fhirstore.fhir.json import NumberLiteral
from fhirstore.search.prefixes import split_prefix
from fhirstore.search.token import split, unescaped

_NUMBER = re.compile(r"[-+]?\d{1,100}(?:\.\d{1,100})?(?:[eE][-+]?\d{1,3})?", re.ASCII)
_EXACT = Context(prec=1_000)
_ENDS = ("low", "high")  # of a Range
_LEAST, _MOST = Decimal("-Infinity"), Decimal("Infinity")


@dataclass(frozen=True, slots=True)
class Interval:
    """Numbers from `low` to `high`; `low_open`, `high_open`: without that number itself."""

    low: Decimal
    high: Decimal
    low_open: bool = False
    high_open: bool = False


def number_test(text: str) -> Callable[[object], bool]:
    """Returns the test of an element for one value searched for. Raises ValueError."""
    compare = _comparison(text)

    def test(value: object) -> bool:
        found = interval_of(value)
        return found is not None and compare(found)

    return test


def quantity_test(text: str) -> Callable[[object], bool]:
    """Returns the test of an element for one value searched for, `number`, `number|system|code` or `number||code`.
    Raises ValueError.
    """
    number, *unit = split(text, "|")
    if len(unit) not in (0, 2):
        raise ValueError("a quantity is number, number|system|code or number||code")
    compare = _comparison(number)
    system, code = (unescaped(part) for part in unit) if unit else ("", "")

    def test(value: object) -> bool:
        if not isinstance(value, dict) or not _has_unit(value, system, code):
            return False
        found = interval_of(value)
        return found is not None and compare(found)

    return test


def interval_of(value: object) -> Interval | None:
    """Returns the interval of a number, Quantity, Money or Range; None if it has none, or is malformed."""
    if not isinstance(value, dict):
        point = _decimal(value)
        return None if point is None else Interval(point, point)
    if "low" in value or "high" in value:
        low, high = (_decimal(end.get("value")) if isinstance(end := value.get(name), dict) else None for name in _ENDS)
        if low is None and high is None:
            return None
        return Interval(_LEAST if low is None else low, _MOST if high is None else high)
    point = _decimal(value.get("value"))
    if point is None:
        return None
    match value.get("comparator"):
        case "<":
            return Interval(_LEAST, point, high_open=True)
        case "<=":
            return Interval(_LEAST, point)
        case ">":
            return Interval(point, _MOST, low_open=True)
        case ">=":
            return Interval(point, _MOST)
    return Interval(point, point)


def _decimal(value: object) -> Decimal | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return Decimal(value)
    if isinstance(value, NumberLiteral):
        try:
            return Decimal(bytes(value).decode("ascii"))
        except (InvalidOperation, ValueError):
            return None
    return None


def _has_unit(value: object, system: str, code: str) -> bool:
    if not (system or code):
        return True
    if not isinstance(value, dict):
        return False
    if "low" in value or "high" in value:
        return any(_has_unit(value.get(name), system, code) for name in _ENDS)
    if "currency" in value:
        return value["currency"] == code and system in ("", "urn:iso:std:iso:4217")
    if system:
        return value.get("system") == system and (not code or value.get("code") == code)
    return code in (value.get("code"), value.get("unit"))


def _comparison(text: str) -> Callable[[Interval], bool]:
    prefix, digits = split_prefix(text)
    if not _NUMBER.fullmatch(digits):
        raise ValueError("it is no number")
    number = Decimal(digits)
    low, high = _rounding_to(number)
    match prefix:
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
            reach = _EXACT.multiply(number.copy_abs(), Decimal("0.1"))
            low, high = min(low, _EXACT.subtract(number, reach)), max(high, _EXACT.add(number, reach))
            return lambda one: one.low <= high and one.high >= low


def _rounding_to(number: Decimal) -> tuple[Decimal, Decimal]:
    """Returns the first number that rounds to this one, and the first that does not any more."""
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)  # noqa: S101 - no infinity
    last_digit = exponent - 1 if exponent > 0 else exponent  # the page's own example: 1e2 is [95, 105)
    half = Decimal(5).scaleb(last_digit - 1)
    return _EXACT.subtract(number, half), _EXACT.add(number, half)
