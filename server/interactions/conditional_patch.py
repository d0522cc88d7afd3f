"""conditional patch: https://hl7.org/fhir/R4/http.html#patch ("exactly the same as specified for update")."""

from __future__ import annotations

from starlette.responses import Response

from server.http.answers import stored
from server.http.call import Call
from server.http.criteria import url_criteria
from server.http.preconditions import if_match, if_none_match
from server.interactions.patch import patch_body


async def conditional_patch(call: Call) -> Response:
    """PATCH [base]/[type]?[criteria]: 200; 404 where nothing matches, 412 for several."""
    criteria, expected, unexpected = url_criteria(call), if_match(call), if_none_match(call)
    version = await call.tenant.conditional_patch(
        call.type,
        criteria,
        await patch_body(call),
        if_match=expected,
        if_none_match=unexpected,
        skip_unchanged=call.settings.skip_unchanged,
    )
    return await stored(call, version, status=200)
