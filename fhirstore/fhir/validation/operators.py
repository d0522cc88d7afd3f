"""FHIRPath operators that compare values, as functions for fhirpathpy, which compares most primitives as text.

fhirpathpy knows the type of a value that it took from a resource, but its own operators look at the text, treat two
Quantities without a code as equal, and compare only the first items of collections. These operators compare dates and
times by instant and precision (`datetimes`) and Quantities by value if the units are the same (`comparisons`), and keep
the types of items in joined collections. An unknown result is the empty collection. Values that cannot be compared
raise Incomparable, which leaves the whole expression undecided.

https://hl7.org/fhirpath/N1/#equality · https://hl7.org/fhirpath/N1/#comparison · https://hl7.org/fhirpath/N1/#combining
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping
from decimal import Decimal
from typing import TypeAlias

from fhirpathpy.engine.invocations import datetime as clock
from fhirpathpy.engine.invocations import equality, math
from fhirpathpy.engine.nodes import FP_DateTime, FP_Quantity, FP_Time, ResourceNode

from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.validation.comparisons import Incomparable, Measure, alike, all_of, equal, measure, order_of
from fhirstore.fhir.validation.datetimes import DateTime, TimeOfDay, date_time, time_of_day

_DATE_TIMES = frozenset({"date", "dateTime", "instant"})
_CONTEXT: TypeAlias = object  # fhirpathpy's own context, which it passes to each function
_Items: TypeAlias = list[object]


def operators(definitions: Definitions) -> Mapping[str, Mapping[str, object]]:
    """Returns the operators by fhirpathpy's names, in the form in which fhirpathpy registers functions."""
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
    """The functions. Their signatures are fhirpathpy's; collections are lists."""

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
        """Compares two collections item by item, in order; None: unknown."""
        ones, others = self._values(left), self._values(right)
        if not ones or not others:
            return None
        if len(ones) != len(others):
            return False
        return all_of(equal(one, other) for one, other in zip(ones, others, strict=True))

    def _equivalence(self, context: _CONTEXT, left: _Items, right: _Items) -> bool | None:
        """Compares two collections in any order. Different precision is not equivalent; different units are unknown."""
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
        at = order_of(ones[0], others[0])
        return [] if at is None else [holds(at)]

    # --- collections ----------------------------------------------------------------------------------------

    def is_in(self, _: _CONTEXT, left: _Items, right: _Items) -> _Items:
        ones = self._values(left)
        if len(ones) > 1:
            raise Incomparable
        return [any(equal(ones[0], other) for other in self._values(right))] if ones else []

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

    # --- operators with dates and times as results ----------------------------------------------------------

    def plus(self, context: _CONTEXT, left: _Items, right: _Items) -> _Items:
        return self._moved(left, math.plus(context, left, right))  # type: ignore[no-untyped-call] # fhirpathpy's

    def minus(self, context: _CONTEXT, left: _Items, right: _Items) -> _Items:
        return self._moved(left, math.minus(context, left, right))  # type: ignore[no-untyped-call] # fhirpathpy's

    def _moved(self, left: _Items, result: object) -> _Items:
        """Returns the sum that fhirpathpy computed; for a date or time, as a date or time again and not as text."""
        before = self._values(left)[0]
        if isinstance(before, TimeOfDay):
            return [_literal(FP_Time, result)]
        if not isinstance(before, DateTime):
            return [result]
        after = date_time(str(result))
        if after is not None and before.zoned and not after.zoned and len(after.fields) > 3:
            result = f"{result}Z"  # fhirpathpy computes in UTC and omits the zone
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
        """Returns the values of a collection, without the objects that hold ids and extensions of primitives."""
        values = [self._value(item) for item in items if not self._is_beside(item)]
        return [value for value in values if value is not None]

    def _is_beside(self, item: object) -> bool:
        return isinstance(item, ResourceNode) and isinstance(item.data, dict) and item.path in self._primitives

    def _value(self, item: object) -> object:
        if isinstance(item, FP_DateTime):
            return date_time(item.asStr or "")
        if isinstance(item, FP_Time):
            return time_of_day(item.asStr or "")
        if isinstance(item, FP_Quantity):
            return _measure_of_literal(item)
        if not isinstance(item, ResourceNode):
            return item
        value: object = item.data
        if isinstance(value, str):
            if item.path in _DATE_TIMES:
                return date_time(value) or value
            return (time_of_day(value) or value) if item.path == "time" else value
        return measure(value) if isinstance(value, dict) and item.path in self._quantities else value

    def _key(self, item: object) -> Hashable:
        """Returns a key that is the same for equal items."""
        value = self._value(item)
        if isinstance(value, DateTime):
            return DateTime, value.utc, value.zoned
        if isinstance(value, TimeOfDay | Measure | str):
            return value
        if isinstance(value, int | Decimal):
            return type(value) is bool, value
        return "", json.dumps(value, sort_keys=True, default=str)


def _equivalent(context: _CONTEXT, one: object, other: object) -> bool | None:
    one, other = alike(one, other)
    if isinstance(one, DateTime | TimeOfDay) or isinstance(other, DateTime | TimeOfDay):
        return equal(one, other) is True
    if isinstance(one, Measure | bool) or isinstance(other, Measure | bool):
        return equal(one, other)
    return bool(equality.equivalence(context, [one], [other]))  # type: ignore[no-untyped-call] # fhirpathpy's


def _measure_of_literal(quantity: FP_Quantity) -> Measure:
    """Returns `4 'mg'` or `3 days` as a Measure: its unit is a UCUM code, or a calendar unit mapped to UCUM."""
    unit = str(FP_Quantity.timeUnitsToUCUM.get(quantity.unit, quantity.unit))
    return Measure(quantity.value, ("http://unitsofmeasure.org", unit.strip("'")))


def _literal(kind: Callable[[object], object], text: object) -> object:
    """Returns a literal of fhirpathpy. Raises Incomparable if `text` is not one, because fhirpathpy could not add the
    two.
    """
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
