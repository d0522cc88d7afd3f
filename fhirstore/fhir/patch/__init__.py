"""Patches as pure functions on parsed resources: JSON Patch, JSON Merge Patch, FHIRPath Patch.

`apply(resource, definitions)` gives the patched resource and leaves `resource` as it is. Number literals outside of
the patched places stay as they were written. A document that is no patch is MalformedContent; one that does not fit the
resource is PatchFailed, which names the operation by its number.

https://hl7.org/fhir/R4/http.html#patch
"""

from typing import TypeAlias

from fhirstore.fhir.patch.carried import patch_in
from fhirstore.fhir.patch.fhirpath_patch import FhirPathPatch
from fhirstore.fhir.patch.json_patch import JsonPatch
from fhirstore.fhir.patch.linked import CarriedPatch, LinkedPatch, texts
from fhirstore.fhir.patch.merge_patch import MergePatch

Patch: TypeAlias = CarriedPatch | LinkedPatch

__all__ = ["CarriedPatch", "FhirPathPatch", "JsonPatch", "LinkedPatch", "MergePatch", "Patch", "patch_in", "texts"]
