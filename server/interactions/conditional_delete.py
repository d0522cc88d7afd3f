"""conditional delete: https://hl7.org/fhir/R4/http.html#3.1.0.7.1."""

from __future__ import annotations

from starlette.responses import Response

from server.auditing.touched import touch
from server.http.call import Call
from server.http.criteria import url_criteria
from server.http.preconditions import if_match, if_none_match
from server.interactions.delete import deleted


async def conditional_delete(call: Call) -> Response:
    """DELETE [base]/[type]?[criteria]: 204, whether one matches or none, as an ordinary delete; 412 for several.

    With FHIRSTORE_CONDITIONAL_DELETE=multiple also 204 for several: all were deleted, one by one.
    """
    criteria, expected, unexpected = url_criteria(call), if_match(call), if_none_match(call)
    if call.settings.conditional_delete == "multiple":
        gone = await call.tenant.delete_matching(call.type, criteria, if_match=expected, if_none_match=unexpected)
        if len(gone) > 1:
            touch(call.scope, gone)
        return deleted(call, gone[0] if len(gone) == 1 else None, count=len(gone))
    tombstone = await call.tenant.conditional_delete(call.type, criteria, if_match=expected, if_none_match=unexpected)
    return deleted(call, tombstone)
