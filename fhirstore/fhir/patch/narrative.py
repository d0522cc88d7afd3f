"""The narrative of a resource whose elements a patch changes.

"Servers SHALL ensure that narratives are not clinically unsafe after the PATCH operation is performed": a narrative
that was generated from the elements is removed, because it can be generated again; for one that says more the patch
fails.

https://hl7.org/fhir/R4/http.html#patch · https://hl7.org/fhir/R4/narrative.html
"""

from __future__ import annotations

from fhirstore.errors import PatchFailed
from fhirstore.fhir.json import JsonObject

_NOT_IN_NARRATIVE = ("text", "meta")


def with_safe_narrative(patched: JsonObject, before: JsonObject) -> JsonObject:
    """Returns the patched resource, without `text` if the patch changed other elements but not `text`. Raises
    PatchFailed.
    """
    text = patched.get("text")
    if text is None or text != before.get("text") or _described(patched) == _described(before):
        return patched
    status = text.get("status") if isinstance(text, dict) else None
    if status == "empty":
        return patched
    if status != "generated":
        raise PatchFailed(
            "The narrative says more than the elements, and would not match the patched elements; patch text as well"
        )
    return {name: value for name, value in patched.items() if name != "text"}


def _described(resource: JsonObject) -> JsonObject:
    """Returns the elements that a narrative may describe."""
    return {name: value for name, value in resource.items() if name not in _NOT_IN_NARRATIVE}
