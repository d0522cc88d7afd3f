"""The patch that a resource carries: in a Bundle entry, whose content can only be a resource.

A Parameters resource is a FHIRPath Patch; a Binary holds a JSON Patch or a Merge Patch, by its content type.

https://hl7.org/fhir/R4/http.html#patch ("PATCH … in a batch or transaction … using the Binary resource")
"""

from __future__ import annotations

import base64

from fhirstore.errors import MalformedContent
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.patch.fhirpath_patch import FhirPathPatch
from fhirstore.fhir.patch.json_patch import JsonPatch
from fhirstore.fhir.patch.merge_patch import MergePatch

_IN_BINARY = {kind.media_type: kind for kind in (JsonPatch, MergePatch)}


def patch_in(resource: JsonObject) -> JsonPatch | MergePatch | FhirPathPatch:
    """Raises MalformedContent: it carries none."""
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
    except ValueError:  # binascii's own, and that of letters outside ASCII
        raise _no_patch("Binary.data", "Binary.data is not base64") from None
    return held.parse(document)


def _no_patch(place: str, diagnostics: str) -> MalformedContent:
    return MalformedContent(diagnostics, code="value", expression=(place,))
