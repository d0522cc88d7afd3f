"""Compares values with what a profile requires: `fixed[x]` is the whole value, `pattern[x]` a part, a binding a code.

Values, fixed and pattern must be in the form that `fhirstore.fhir.validation.expressions.plain` returns.

https://hl7.org/fhir/R4/elementdefinition-definitions.html#ElementDefinition.fixed_x_ ·
https://hl7.org/fhir/R4/terminologies.html#required
"""

from __future__ import annotations

from fhirstore.fhir import json
from fhirstore.fhir.definitions.terminology import NotEnumerable
from fhirstore.fhir.validation.codings import has_code_of
from fhirstore.fhir.validation.profiles.items import Item
from fhirstore.fhir.validation.profiles.library import Library

_SHOWN = 120  # characters


def equals(value: object, fixed: object) -> bool:
    """Returns whether the value is exactly the fixed one; members in any order."""
    if isinstance(fixed, dict):
        return (
            isinstance(value, dict)
            and value.keys() == fixed.keys()
            and all(equals(value[name], item) for name, item in fixed.items())
        )
    if isinstance(fixed, list):
        return (
            isinstance(value, list)
            and len(value) == len(fixed)
            and all(equals(one, other) for one, other in zip(value, fixed, strict=True))
        )
    return isinstance(value, bool) == isinstance(fixed, bool) and value == fixed


def fits(value: object, pattern: object) -> bool:
    """Returns whether the value has at least what the pattern has; items of an array in any position."""
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(
            name in value and fits(value[name], item) for name, item in pattern.items()
        )
    if isinstance(pattern, list):
        return isinstance(value, list) and all(any(fits(one, item) for one in value) for item in pattern)
    return equals(value, pattern)


def allows(library: Library, canonical: str, item: Item) -> bool | None:
    """Returns whether the value set allows the item's code; None if it cannot be enumerated. One coding of a
    CodeableConcept is enough.
    """
    try:
        codes = library.terminology.codes(canonical)
    except NotEnumerable:
        return None
    if isinstance(item.value, str):
        return any(item.value in each for each in codes.values())
    return has_code_of(codes, item.value)


def within(value: object, steps: tuple[str, ...]) -> list[object]:
    """Returns the parts of a fixed or pattern value that element names lead to."""
    found = [value]
    for step in steps:
        inner = [each.get(step) for each in found if isinstance(each, dict)]
        found = [item for each in inner for item in (each if isinstance(each, list) else [each]) if item is not None]
    return found


def shown(value: object) -> str:
    """Returns a profile's own value for a message; a long one is cut."""
    text = json.dump({"": value}).decode()[4:-1]
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
