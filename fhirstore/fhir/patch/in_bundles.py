"""Patches in the entries of a batch or transaction: how a resource carries one, and how its links are resolved.

An entry can only hold a resource. A Parameters resource is a FHIRPath Patch; a Binary holds a JSON Patch or a Merge
Patch, by its content type. Where a patch puts its values is known only when it is applied, so links (references to
other entries) are resolved in the patched resource. What the links need is looked up before, for all strings in the
patch.

https://hl7.org/fhir/R4/http.html#patch ("PATCH … in a batch or transaction … using the Binary resource")
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from fhirstore.errors import MalformedContent
from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.patch.fhirpath_patch import FhirPathPatch
from fhirstore.fhir.patch.json_patch import JsonPatch
from fhirstore.fhir.patch.merge_patch import MergePatch
from fhirstore.fhir.patch.values import Value

_IN_BINARY = {kind.media_type: kind for kind in (JsonPatch, MergePatch)}

CarriedPatch: TypeAlias = JsonPatch | MergePatch | FhirPathPatch
"""A patch as a client writes it."""


def patch_in(resource: JsonObject) -> JsonPatch | MergePatch | FhirPathPatch:
    """Returns the patch that a resource carries. Raises MalformedContent if it carries none."""
    kind = resource.get("resourceType")
    if kind == "Parameters":
        return FhirPathPatch.of(resource)
    if kind != "Binary":
        raise _no_patch(
            "Resource", "A PATCH entry carries a Parameters resource (FHIRPath Patch) or a Binary with a JSON Patch"
        )
    media_type = str(resource.get("contentType", "")).partition(";")[0].strip().lower()
    held = _IN_BINARY.get(media_type)
    if held is None:
        raise _no_patch("Binary.contentType", f"The contentType of a patch is {' or '.join(_IN_BINARY)}")
    try:
        document = base64.b64decode("".join(str(resource.get("data", "")).split()), validate=True)
    except ValueError:  # binascii.Error, or characters outside of ASCII
        raise _no_patch("Binary.data", "Binary.data is not base64") from None
    return held.parse(document)


def _no_patch(where: str, diagnostics: str) -> MalformedContent:
    return MalformedContent(diagnostics, code="value", expression=(where,))


@dataclass(frozen=True, slots=True)
class LinkedPatch:
    """`patch`, followed by `settle`, which resolves links in the patched resource in place and may raise FhirError."""

    patch: CarriedPatch
    settle: Callable[[JsonObject], None]

    @property
    def changes_nothing(self) -> bool:
        """Whether the patch has no operations."""
        return self.patch.changes_nothing

    def apply(self, resource: JsonObject, definitions: Definitions) -> JsonObject:
        """Returns the patched resource with its links resolved; does not change `resource`. Raises what `patch` and
        `settle` raise.
        """
        patched = self.patch.apply(resource, definitions)
        self.settle(patched)
        return patched


def texts(patch: CarriedPatch) -> frozenset[str]:
    """Returns every string among the values that the patch contains."""
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
