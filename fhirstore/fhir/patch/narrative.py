"""What becomes of the narrative when a patch changes what it tells.

"Servers SHALL ensure that narratives are not clinically unsafe after the PATCH operation is performed": one that was
generated from the elements is taken out, as it can be generated again; one that says more makes the patch fail.

https://hl7.org/fhir/R4/http.html#patch · https://hl7.org/fhir/R4/narrative.html
"""

from __future__ import annotations

from fhirstore.errors import PatchFailed
from fhirstore.fhir.json import JsonObject

_UNTOLD = ("text", "meta")


def with_safe_narrative(patched: JsonObject, before: JsonObject) -> JsonObject:
    """The patched resource, its `text` taken out where the patch left it but not what it tells. Raises PatchFailed."""
    text = patched.get("text")
    if text is None or text != before.get("text") or _told(patched) == _told(before):
        return patched
    status = text.get("status") if isinstance(text, dict) else None
    if status == "empty":
        return patched
    if status != "generated":
        raise PatchFailed(
            "The narrative says more than the elements do, and would be left behind by this patch; patch text as well"
        )
    return {name: value for name, value in patched.items() if name != "text"}


def _told(resource: JsonObject) -> JsonObject:
    return {name: value for name, value in resource.items() if name not in _UNTOLD}
