"""Copies of parsed JSON, within bounds: what a patch may make of a few bytes.

A JSON Patch of forty `copy` operations could otherwise double a resource forty times.
"""

from __future__ import annotations

from dataclasses import dataclass

from fhirstore.errors import ContentTooLarge, PatchFailed
from fhirstore.fhir.json import MAX_DEPTH, JsonObject

_MAX_COPIED = 16_000_000  # bytes, about, that the operations of one patch may copy
_VALUE = 64  # bytes that a value counts besides its characters: what it takes in memory, and not in JSON


def clone(resource: JsonObject) -> JsonObject:
    """A copy that shares nothing that could be changed."""
    return {name: clone_value(value) for name, value in resource.items()}


def clone_value(value: object) -> object:
    """The same for any value."""
    if isinstance(value, dict):
        return clone(value)
    if isinstance(value, list):
        return [clone_value(item) for item in value]
    return value


@dataclass(slots=True)
class Copier:
    """Copies values for one patch, and counts."""

    left: int = _MAX_COPIED

    def copy(self, value: object, room: int = MAX_DEPTH) -> object:
        """A copy of `value`, which may nest `room` levels. Raises PatchFailed, ContentTooLarge."""
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
    """Raises PatchFailed when `value` nests deeper than `room` levels."""
    if isinstance(value, dict | list):
        if not room:
            raise too_deep()
        for item in value.values() if isinstance(value, dict) else value:
            check_depth(item, room - 1)


def too_deep() -> PatchFailed:
    """What is said of a result that no reader would take."""
    return PatchFailed(f"The result nests deeper than {MAX_DEPTH} levels")
