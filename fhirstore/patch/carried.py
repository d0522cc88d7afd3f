"""The patch that a resource carries: in a Bundle entry, whose content can only be a resource.

A Parameters resource is a FHIRPath Patch; a Binary holds a JSON Patch or a Merge Patch, by its content type.

https://hl7.org/fhir/R4/http.html#patch ("PATCH … in a batch or transaction … using the Binary resource")
"""

from __future__ import annotations

import base64
import binascii

from fhirstore.errors import MalformedContent
from fhirstore.json import JsonObject
from fhirstore.patch.fhirpath_patch import FhirPathPatch
from fhirstore.patch.json_patch import JsonPatch
from fhirstore.patch.merge_patch import MergePatch

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"


def patch_in(resource: JsonObject) -> JsonPatch | MergePatch | FhirPathPatch:
    """Raises MalformedContent: it carries none."""
    if resource.get("resourceType") != "Binary":
        return FhirPathPatch.of(resource)
    data, content_type = resource.get("data"), resource.get("contentType")
    media_type = content_type.partition(";")[0].strip().lower() if isinstance(content_type, str) else ""
    if media_type not in (JSON_PATCH, MERGE_PATCH):
        raise MalformedContent(f"A Binary that patches is of {JSON_PATCH} or {MERGE_PATCH}")
    try:
        body = base64.b64decode("".join(data.split()) if isinstance(data, str) else "", validate=True)
    except (binascii.Error, ValueError):
        raise MalformedContent("The data of the Binary is not base64") from None
    return JsonPatch.parse(body) if media_type == JSON_PATCH else MergePatch.parse(body)
