"""The operators of FHIRPath that compare values, for fhirpathpy, which has most primitives compared as text.

fhirpathpy knows the type of a value that it took from a resource, but its own operators look at the text, take two
Quantities without a code for equal, and compare the first items of collections only. These compare dates, times and
instants by the instant and the precision (`moments`), Quantities by value where the unit is the same, and keep types
where collections are joined. What is not known is the empty collection: unlike precision, unlike units. What cannot
be compared at all raises Incomparable, so that an expression with it decides nothing.

https://hl7.org/fhirpath/N1/#equality · https://hl7.org/fhirpath/N1/#comparison · https://hl7.org/fhirpath/N1/#combining
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

from fhirpathpy.engine.invocations import datetime as clock
from fhirpathpy.engine.invocations import equality, math
from fhirpathpy.engine.nodes import FP_DateTime, FP_Quantity, FP_Time, ResourceNode

from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.validation.moments import Moment, TimeOfDay, moment, order, order_of_times, time_of_day

_MOMENTS = frozenset({"date", "dateTime", "instant"})
_CONTEXT: TypeAlias = object  # what fhirpathpy passes through its functions
_Items: TypeAlias = list[object]


class Incomparable(Exception):
    """Two values have no order, or an operand is several values."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A Quantity's value and what it counts: system and code, or the unit as a text, or nothing at all."""

    value: int | Decimal
    unit: tuple[str, ...]


def operators(definitions: Definitions) -> Mapping[str, Mapping[str, object]]:
    """Name in fhirpathpy -> how it calls the function that stands in for its own."""
    of = _Operators(definitions)
    both = {2: ["Any", "Any"]}
    other = {1: ["AnyAtRoot"]}
    return {
        "=": {"fn": of.equal, "arity": both, "nullable": True},
        "!=": {"fn": of.unequal, "arity": both, "nullable": True},
        "~": {"fn": of.equivalent, "arity": both},
        "!~": {"fn": of.not_equivalent, "arity": both},
        "<": {"fn": of.less, "arity": both, "nullable": True},
        "<=": {"fn": of.less_or_equal, "arity": both, "nullable": True},
        ">": {"fn": of.greater, "arity": both, "nullable": True},
        ">=": {"fn": of.greater_or_equal, "arity": both, "nullable": True},
        "inOp": {"fn": of.is_in, "arity": both},
        "containsOp": {"fn": of.contains, "arity": both},
        "|": {"fn": of.union, "arity": both},
        "union": {"fn": of.union, "arity": other},
        "distinct": {"fn": of.distinct},
        "isDistinct": {"fn": of.is_distinct},
        "intersect": {"fn": of.intersect, "arity": other},
        "exclude": {"fn": of.exclude, "arity": other},
        "subsetOf": {"fn": of.subset_of, "arity": other},
        "supersetOf": {"fn": of.superset_of, "arity": other},
        "+": {"fn": of.plus, "arity": both, "nullable": True},
        "-": {"fn": of.minus, "arity": both, "nullable": True},
        "now": {"fn": of.now},
        "today": {"fn": of.today},
        "timeOfDay": {"fn": of.time_of_day},
        "hasValue": {"fn": of.has_value, "arity": {0: []}},
    }


class _Operators:
    """The functions. Their signatures are fhirpathpy's; collections come as lists and go as lists."""

    def __init__(self, definitions: Definitions) -> None:
        self._primitives = definitions.primitives
        self._quantities = frozenset(name for name in definitions.types if _is_based_on(definitions, name, "Quantity"))

    # --- equality -------------------------------------------------------------------------------------------

    def equal(self, _: _CONTEXT, left: _Items, right: _Items) -> _Items:
        known = self._equality(left, right)
        return [] if known is None else [known]

    def unequal(self, _: _CONTEXT, left: _Items, right: _Items) -> _Items:
        known = self._equality(left, right)
        return [] if known is None else [not known]

    def equivalent(self, context: _CONTEXT, left: _Items, right: _Items) -> _Items:
        known = self._equivalence(context, left, right)
        return [] if known is None else [known]

    def not_equivalent(self, context: _CONTEXT, left: _Items, right: _Items) -> _Items:
        known = self._equivalence(context, left, right)
        return [] if known is None else [not known]

    def _equality(self, left: _Items, right: _Items) -> bool | None:
        """Item by item, in order; None: not known."""
        ones, others = self._values(left), self._values(right)
        if not ones or not others:
            return None
        if len(ones) != len(others):
            return False
        return _all(_equal(one, other) for one, other in zip(ones, others, strict=True))

    def _equivalence(self, context: _CONTEXT, left: _Items, right: _Items) -> bool | None:
        """In any order; unlike precision is no equivalence, and unlike units are not known."""
        ones, others = self._values(left), self._values(right)
        if len(ones) != len(others):
            return False
        unknown = False
        for one in ones:
            verdicts = [_equivalent(context, one, other) for other in others]
            if True in verdicts:
                del others[verdicts.index(True)]
            elif None in verdicts:
                unknown = True
            else:
                return False
        return None if unknown else True

    # --- order ----------------------------------------------------------------------------------------------

    def less(self, _: _CONTEXT, left: _Items, right: _Items) -> _Items:
        return self._ordered(left, right, lambda at: at < 0)

    def less_or_equal(self, _: _CONTEXT, left: _Items, right: _Items) -> _Items:
        return self._ordered(left, right, lambda at: at <= 0)

    def greater(self, _: _CONTEXT, left: _Items, right: _Items) -> _Items:
        return self._ordered(left, right, lambda at: at > 0)

    def greater_or_equal(self, _: _CONTEXT, left: _Items, right: _Items) -> _Items:
        return self._ordered(left, right, lambda at: at >= 0)

    def _ordered(self, left: _Items, right: _Items, holds: Callable[[int], bool]) -> _Items:
        ones, others = self._values(left), self._values(right)
        if not ones or not others:
            return []
        if len(ones) > 1 or len(others) > 1:
            raise Incomparable
        at = _order(ones[0], others[0])
        return [] if at is None else [holds(at)]

    # --- collections ----------------------------------------------------------------------------------------

    def is_in(self, _: _CONTEXT, left: _Items, right: _Items) -> _Items:
        ones = self._values(left)
        if len(ones) > 1:
            raise Incomparable
        return [any(_equal(ones[0], other) for other in self._values(right))] if ones else []

    def contains(self, context: _CONTEXT, left: _Items, right: _Items) -> _Items:
        return self.is_in(context, right, left)

    def union(self, context: _CONTEXT, left: _Items, right: _Items) -> _Items:
        return self.distinct(context, left + right)

    def distinct(self, _: _CONTEXT, items: _Items) -> _Items:
        first: dict[Hashable, object] = {}
        for item in items:
            first.setdefault(self._key(item), item)
        return list(first.values())

    def is_distinct(self, _: _CONTEXT, items: _Items) -> _Items:
        return [len({self._key(item) for item in items}) == len(items)]

    def intersect(self, context: _CONTEXT, left: _Items, right: _Items) -> _Items:
        keys = {self._key(item) for item in right}
        return [item for item in self.distinct(context, left) if self._key(item) in keys]

    def exclude(self, _: _CONTEXT, left: _Items, right: _Items) -> _Items:
        keys = {self._key(item) for item in right}
        return [item for item in left if self._key(item) not in keys]

    def subset_of(self, _: _CONTEXT, left: _Items, right: _Items) -> _Items:
        return [{self._key(item) for item in left} <= {self._key(item) for item in right}]

    def superset_of(self, context: _CONTEXT, left: _Items, right: _Items) -> _Items:
        return self.subset_of(context, right, left)

    # --- what gives dates and times -------------------------------------------------------------------------

    def plus(self, context: _CONTEXT, left: _Items, right: _Items) -> _Items:
        return self._moved(left, math.plus(context, left, right))  # type: ignore[no-untyped-call] # fhirpathpy's

    def minus(self, context: _CONTEXT, left: _Items, right: _Items) -> _Items:
        return self._moved(left, math.minus(context, left, right))  # type: ignore[no-untyped-call] # fhirpathpy's

    def _moved(self, left: _Items, result: object) -> _Items:
        """What fhirpathpy adds up to; where it moved a date or time, one again, and not a text."""
        before = self._values(left)[0]
        if isinstance(before, TimeOfDay):
            return [_literal(FP_Time, result)]
        if not isinstance(before, Moment):
            return [result]
        after = moment(str(result))
        if after is not None and before.zoned and not after.zoned and len(after.fields) > 3:
            result = f"{result}Z"  # fhirpathpy moves it in UTC, and leaves the zone out
        return [_literal(FP_DateTime, result)]

    def now(self, context: _CONTEXT, items: _Items) -> _Items:
        return [_literal(FP_DateTime, clock.now(context, items))]  # type: ignore[no-untyped-call] # fhirpathpy's

    def today(self, context: _CONTEXT, items: _Items) -> _Items:
        return [_literal(FP_DateTime, clock.today(context, items))]  # type: ignore[no-untyped-call] # fhirpathpy's

    def time_of_day(self, context: _CONTEXT, items: _Items) -> _Items:
        return [_literal(FP_Time, clock.timeOfDay(context, items))]  # type: ignore[no-untyped-call] # fhirpathpy's

    def has_value(self, _: _CONTEXT, items: _Items) -> _Items:
        values = self._values(items)
        return [len(values) == 1 and not isinstance(values[0], dict | list | Measure)]

    # --- values ---------------------------------------------------------------------------------------------

    def _values(self, items: _Items) -> list[object]:
        """The values of a collection. What stands beside a primitive, its id and extensions, is none."""
        values = [self._value(item) for item in items if not self._is_beside(item)]
        return [value for value in values if value is not None]

    def _is_beside(self, item: object) -> bool:
        return isinstance(item, ResourceNode) and isinstance(item.data, dict) and item.path in self._primitives

    def _value(self, item: object) -> object:
        if isinstance(item, FP_DateTime):
            return moment(item.asStr or "")
        if isinstance(item, FP_Time):
            return time_of_day(item.asStr or "")
        if isinstance(item, FP_Quantity):
            return _measure_of_literal(item)
        if not isinstance(item, ResourceNode):
            return item
        value: object = item.data
        if isinstance(value, str):
            if item.path in _MOMENTS:
                return moment(value) or value
            return (time_of_day(value) or value) if item.path == "time" else value
        return _measure(value) if isinstance(value, dict) and item.path in self._quantities else value

    def _key(self, item: object) -> Hashable:
        """The same for items that are equal."""
        value = self._value(item)
        if isinstance(value, Moment):
            return Moment, value.utc, value.zoned
        if isinstance(value, TimeOfDay | Measure | str):
            return value
        if isinstance(value, int | Decimal):
            return type(value) is bool, value
        return "", json.dumps(value, sort_keys=True, default=str)


def _all(verdicts: Iterable[bool | None]) -> bool | None:
    found = list(verdicts)
    if False in found:
        return False
    return None if None in found else True


def _equal(one: object, other: object) -> bool | None:
    one, other = _alike(one, other)
    if isinstance(one, Moment) and isinstance(other, Moment):
        return _is_zero(order(one, other))
    if isinstance(one, TimeOfDay) and isinstance(other, TimeOfDay):
        return _is_zero(order_of_times(one, other))
    if isinstance(one, Measure) and isinstance(other, Measure):
        return one.value == other.value if one.unit == other.unit else None
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _equivalent(context: _CONTEXT, one: object, other: object) -> bool | None:
    one, other = _alike(one, other)
    if isinstance(one, Moment | TimeOfDay) or isinstance(other, Moment | TimeOfDay):
        return _equal(one, other) is True
    if isinstance(one, Measure | bool) or isinstance(other, Measure | bool):
        return _equal(one, other)
    return bool(equality.equivalence(context, [one], [other]))  # type: ignore[no-untyped-call] # fhirpathpy's


def _order(one: object, other: object) -> int | None:
    one, other = _alike(one, other)
    if isinstance(one, Moment) and isinstance(other, Moment):
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


def _alike(one: object, other: object) -> tuple[object, object]:
    """A text beside a date or a time is one, too, if it reads as one."""
    return _like(one, other), _like(other, one)


def _like(value: object, model: object) -> object:
    if isinstance(value, str):
        if isinstance(model, Moment):
            return moment(value) or value
        if isinstance(model, TimeOfDay):
            return time_of_day(value) or value
    return value


def _sign(one: int | Decimal, other: int | Decimal) -> int:
    return (one > other) - (one < other)


def _is_zero(at: int | None) -> bool | None:
    return None if at is None else at == 0


def _measure(quantity: dict[str, object]) -> object:
    """A Quantity with a value that is exact; another (`<5`, none) is no value to be compared, but an object."""
    value = quantity.get("value")
    if not isinstance(value, int | Decimal) or isinstance(value, bool) or "comparator" in quantity:
        return quantity
    code, system, unit = quantity.get("code"), quantity.get("system"), quantity.get("unit")
    if isinstance(code, str):
        return Measure(value, (str(system or ""), code))
    return Measure(value, (unit,) if isinstance(unit, str) else ())


def _measure_of_literal(quantity: FP_Quantity) -> Measure:
    """`4 'mg'`, `3 days`: its unit is a code of UCUM, or a calendar's, which is UCUM's for what is no longer."""
    unit = str(FP_Quantity.timeUnitsToUCUM.get(quantity.unit, quantity.unit))
    return Measure(quantity.value, ("http://unitsofmeasure.org", unit.strip("'")))


def _literal(kind: Callable[[object], object], text: object) -> object:
    """A literal of fhirpathpy. Raises Incomparable where the text is none: fhirpathpy cannot add these two."""
    found = kind(text)
    if found is None:
        raise Incomparable
    return found


def _is_based_on(definitions: Definitions, name: str, base: str) -> bool:
    while name in definitions.types:
        if name == base:
            return True
        name = definitions.types[name].base
    return False
