"""Patches as pure functions on parsed resources: JSON Patch, JSON Merge Patch, FHIRPath Patch.

`apply(resource, definitions)` returns the patched resource and does not change `resource`. Number literals that the
patch does not touch stay as they were written. A document that is not a patch raises MalformedContent; a patch that
does not fit the resource raises PatchFailed with the number of the operation.

https://hl7.org/fhir/R4/http.html#patch
"""

from typing import TypeAlias

from fhirstore.fhir.patch.fhirpath_patch import FhirPathPatch
from fhirstore.fhir.patch.in_bundles import CarriedPatch, LinkedPatch, patch_in, texts
from fhirstore.fhir.patch.json_patch import JsonPatch
from fhirstore.fhir.patch.merge_patch import MergePatch

Patch: TypeAlias = CarriedPatch | LinkedPatch

__all__ = ["CarriedPatch", "FhirPathPatch", "JsonPatch", "LinkedPatch", "MergePatch", "Patch", "patch_in", "texts"]
