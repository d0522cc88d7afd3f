"""The patch that a PATCH entry carries: a Parameters resource is a FHIRPath Patch, a Binary holds another kind.

https://hl7.org/fhir/R4/http.html#patch: "In this case [batch and transaction] the patch is … a Binary resource" with
the content type of the patch, and its document as data.
"""

from __future__ import annotations

import base64
import binascii

from fhirstore.bundles.entries import Entry
from fhirstore.errors import InvalidResource
from fhirstore.patch import FhirPathPatch, JsonPatch, MergePatch, Patch

_JSON_PATCH, _MERGE_PATCH = "application/json-patch+json", "application/merge-patch+json"


def patch_of(entry: Entry) -> Patch:
    """Raises InvalidResource, MalformedContent, with the entry's place."""
    resource = entry.resource or {}
    kind = resource.get("resourceType")
    if kind == "Parameters":
        return FhirPathPatch.of(resource)
    if kind != "Binary":
        raise InvalidResource(
            "A PATCH entry carries a Parameters resource (FHIRPath Patch) or a Binary with a JSON Patch",
            code="value",
            expression=(f"{entry.place}.resource",),
        )
    content_type = str(resource.get("contentType", "")).partition(";")[0].strip().lower()
    if content_type not in (_JSON_PATCH, _MERGE_PATCH):
        raise InvalidResource(
            f"The contentType of a patch is {_JSON_PATCH} or {_MERGE_PATCH}",
            code="value",
            expression=(f"{entry.place}.resource.contentType",),
        )
    try:
        document = base64.b64decode("".join(str(resource.get("data", "")).split()), validate=True)
    except binascii.Error:
        raise InvalidResource(
            "Binary.data is not base64", code="value", expression=(f"{entry.place}.resource.data",)
        ) from None
    return JsonPatch.parse(document) if content_type == _JSON_PATCH else MergePatch.parse(document)
