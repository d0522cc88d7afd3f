"""JSON Merge Patch (application/merge-patch+json): https://www.rfc-editor.org/rfc/rfc7396."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from fhirstore.fhir import json
from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.patch.json_values import clone


@dataclass(frozen=True, slots=True)
class MergePatch:
    """Members to set; null removes a member; arrays are replaced as a whole."""

    document: JsonObject = field(repr=False)
    media_type: ClassVar[str] = "application/merge-patch+json"

    @classmethod
    def parse(cls, document: bytes | Mapping[str, object]) -> MergePatch:
        """Returns the patch in JSON or in Python values. Raises MalformedContent."""
        return cls(json.parse(document if isinstance(document, bytes) else json.dump(document)))

    @property
    def changes_nothing(self) -> bool:
        """Whether it names no member."""
        return not self.document

    def apply(self, resource: JsonObject, _: Definitions | None = None) -> JsonObject:
        """Returns the patched resource; does not change `resource`.

        FHIR has no empty objects: an object that is empty after its nulls are removed is removed too.
        """
        return _merged(clone(resource), clone(self.document))


def _merged(target: JsonObject, patch: JsonObject) -> JsonObject:
    for name, value in patch.items():
        if isinstance(value, dict):
            old = target.get(name)
            merged = _merged(old if isinstance(old, dict) else {}, value)
            if merged or not value:
                target[name] = merged
                continue
        elif value is not None:
            target[name] = value
            continue
        target.pop(name, None)
    return target
