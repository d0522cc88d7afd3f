"""conditional update: https://hl7.org/fhir/R4/http.html#cond-update."""

from __future__ import annotations

from starlette.responses import Response

from server.content.binary_body import written
from server.http.answers import stored
from server.http.call import Call
from server.http.criteria import url_criteria
from server.http.preconditions import if_match, if_none_match


async def conditional_update(call: Call) -> Response:
    """PUT [base]/[type]?[criteria]: 200 with the next version of what matches, 201 where nothing did.

    400 where the body's id is that of another resource than matches, or the body does not meet the criteria; 409 where
    nothing matches and the body's id has a resource; 412 where several match.
    """
    expected, unexpected = if_match(call), if_none_match(call)
    body = await written(call)
    version = await call.tenant.conditional_update(
        body,
        url_criteria(call),
        type=call.type,
        if_match=expected,
        if_none_match=unexpected,
        skip_unchanged=call.settings.skip_unchanged,
    )
    return await stored(call, version, status=201 if version.created else 200)
