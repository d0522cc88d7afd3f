"""patch: https://hl7.org/fhir/R4/http.html#patch.

The page leaves statuses to "the relevant PATCH specification": https://www.rfc-editor.org/rfc/rfc5789#section-2.2. A
malformed patch is 400; one that cannot be applied to the resource (a failed `test`, too) is 422; a media type that is
not a patch is 415 with `Accept-Patch`.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.responses import Response

from fhirstore import FhirPathPatch, JsonPatch, MergePatch, Patch
from fhirstore.threads import LARGE, offload_if
from server.content.body import raw_body, resource_body
from server.content.forms import without_mark
from server.documents.contract import PATCH_FORMATS
from server.http.answers import stored
from server.http.call import Call
from server.http.fields import parameters
from server.http.parameters import refuse_others
from server.http.preconditions import if_match, if_none_match
from server.http.refusal import Refused


async def patch(call: Call) -> Response:
    """PATCH [base]/[type]/[id]: 200; 404, 410 where there is nothing to patch; 412 on a stale If-Match."""
    refuse_others(call)
    expected, unexpected = if_match(call), if_none_match(call)
    version = await call.tenant.patch(
        call.type,
        call.id,
        await patch_body(call),
        if_match=expected,
        if_none_match=unexpected,
        skip_unchanged=call.settings.skip_unchanged,
    )
    return await stored(call, version, status=200)


async def patch_body(call: Call) -> Patch:
    """Returns the patch in the body, by its Content-Type: JSON Patch, Merge Patch, or Parameters, a FHIRPath Patch.

    For `application/json`, which some clients send (fhirpy), the content decides: an array is a JSON Patch, Parameters
    are a FHIRPath Patch, and any other object is a Merge Patch. Raises Refused (415), and as `resource_body`.
    """
    call.representation.check_resource()
    name = parameters(call.header(b"content-type") or "")[0].lower()
    for kind in (JsonPatch, MergePatch):
        if name == kind.media_type:
            return await _read(kind.parse, await raw_body(call))
    if name in ("application/json", "text/json"):
        return await _read(_told_by_content, await raw_body(call))
    try:
        return await _read(FhirPathPatch.parse, await resource_body(call))
    except Refused as refused:
        if refused.status_code != 415:
            raise
        formats = ", ".join(PATCH_FORMATS)
        raise Refused(415, f"A patch is one of {formats} (Parameters)", headers={"Accept-Patch": formats}) from None


async def _read(parse: Callable[[bytes], Patch], body: bytes) -> Patch:
    return await offload_if(len(body) > LARGE, parse, body)


def _told_by_content(body: bytes) -> Patch:
    if without_mark(body).lstrip().startswith(b"["):
        return JsonPatch.parse(body)
    merge = MergePatch.parse(body)
    return FhirPathPatch.of(merge.document) if merge.document.get("resourceType") == "Parameters" else merge
