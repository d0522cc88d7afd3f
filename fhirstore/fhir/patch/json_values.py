"""Copies, sizes and equality of parsed JSON values, for all forms of patches.

Copies are bounded, because forty `copy` operations of a JSON Patch could otherwise double a resource forty times.

https://www.rfc-editor.org/rfc/rfc6902#section-4.6 (equality)
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from fhirstore.errors import ContentTooLarge, PatchFailed
from fhirstore.fhir.json import MAX_DEPTH, JsonObject, NumberLiteral

_MAX_COPIED = 16_000_000  # bytes, about, that the operations of one patch may copy
_VALUE = 64  # bytes that a value counts besides its characters: its memory as a Python object


def clone(resource: JsonObject) -> JsonObject:
    """Returns a deep copy of a resource."""
    return {name: clone_value(value) for name, value in resource.items()}


def clone_value(value: object) -> object:
    """Returns a deep copy of any JSON value."""
    if isinstance(value, dict):
        return clone(value)
    if isinstance(value, list):
        return [clone_value(item) for item in value]
    return value


@dataclass(slots=True)
class Copier:
    """Copies values for one patch and counts what they take."""

    left: int = _MAX_COPIED

    def copy(self, value: object, room: int = MAX_DEPTH) -> object:
        """Returns a copy of `value`, which may nest `room` levels. Raises PatchFailed, ContentTooLarge."""
        self._spend(_VALUE)
        if isinstance(value, dict | list) and not room:
            raise too_deep()
        if isinstance(value, dict):
            for name in value:
                self._spend(len(name))
            return {name: self.copy(item, room - 1) for name, item in value.items()}
        if isinstance(value, list):
            return [self.copy(item, room - 1) for item in value]
        if isinstance(value, str):
            self._spend(len(value))
        return value

    def _spend(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise ContentTooLarge(f"The patch copies more than {_MAX_COPIED:,} bytes ({_VALUE} for each value)")


def check_depth(value: object, room: int = MAX_DEPTH) -> None:
    """Raises PatchFailed if `value` nests deeper than `room` levels."""
    if isinstance(value, dict | list):
        if not room:
            raise too_deep()
        for item in value.values() if isinstance(value, dict) else value:
            check_depth(item, room - 1)


def too_deep() -> PatchFailed:
    """Returns the error for a result that is nested too deep to be read again."""
    return PatchFailed(f"The result nests deeper than {MAX_DEPTH} levels")


def same(one: object, other: object) -> bool:
    """Returns whether two values are equal: numbers by value (`1.0` is `1`), arrays in order, objects in any order."""
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
