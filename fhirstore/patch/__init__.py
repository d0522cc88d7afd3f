"""Patches as pure functions on parsed resources: JSON Patch, JSON Merge Patch, FHIRPath Patch.

`apply(resource, definitions)` gives the patched resource and leaves `resource` as it is. Number literals outside of
the patched places stay as they were written. A document that is no patch is MalformedContent; one that does not fit the
resource is PatchFailed, which names the operation by its number.

https://hl7.org/fhir/R4/http.html#patch
"""

from typing import TypeAlias

from fhirstore.patch.carried import patch_in
from fhirstore.patch.fhirpath_patch import FhirPathPatch
from fhirstore.patch.json_patch import JsonPatch
from fhirstore.patch.linked import CarriedPatch, LinkedPatch, texts
from fhirstore.patch.merge_patch import MergePatch

Patch: TypeAlias = CarriedPatch | LinkedPatch

__all__ = ["CarriedPatch", "FhirPathPatch", "JsonPatch", "LinkedPatch", "MergePatch", "Patch", "patch_in", "texts"]
