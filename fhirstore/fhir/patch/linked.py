"""A patch whose result has links to be settled, and the texts that a patch brings.

A patch says where its values go only when it is applied, so links are settled in the patched resource, whatever the
form of the patch. What has to be looked up for them before that is found among the values of the patch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.patch.fhirpath_patch import FhirPathPatch
from fhirstore.fhir.patch.json_patch import JsonPatch
from fhirstore.fhir.patch.merge_patch import MergePatch
from fhirstore.fhir.patch.values import Value

CarriedPatch: TypeAlias = JsonPatch | MergePatch | FhirPathPatch
"""A patch as a client writes it."""


@dataclass(frozen=True, slots=True)
class LinkedPatch:
    """`patch`, and then `settle`, which changes the patched resource in place and may raise FhirError."""

    patch: CarriedPatch
    settle: Callable[[JsonObject], None]

    @property
    def changes_nothing(self) -> bool:
        """The patch has no operations."""
        return self.patch.changes_nothing

    def apply(self, resource: JsonObject, definitions: Definitions) -> JsonObject:
        """The patched resource, its links settled; `resource` stays as it is. Raises what either of the two raises."""
        patched = self.patch.apply(resource, definitions)
        self.settle(patched)
        return patched


def texts(patch: CarriedPatch) -> frozenset[str]:
    """Every text among the values that the patch brings."""
    return frozenset(text for value in _values(patch) for text in _texts(value))


def _values(patch: CarriedPatch) -> Iterator[object]:
    if isinstance(patch, MergePatch):
        yield patch.document
    elif isinstance(patch, JsonPatch):
        yield from (operation.value for operation in patch.operations)
    else:
        for operation in patch.operations:
            if operation.value is not None:
                yield from _given(operation.value)


def _given(value: Value) -> Iterator[object]:
    yield value.value
    yield value.beside
    for _, part in value.parts:
        yield from _given(part)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
