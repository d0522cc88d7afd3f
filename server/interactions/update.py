"""update: https://hl7.org/fhir/R4/http.html#update."""

from __future__ import annotations

from starlette.responses import Response

from server.content.binary import written
from server.http.answers import stored
from server.http.call import Call
from server.http.parameters import refuse_others
from server.http.preconditions import if_match, if_none_match


async def update(call: Call) -> Response:
    """PUT [base]/[type]/[id]: 200, or 201 where it brings the resource into being.

    412 on a stale If-Match, or with `If-None-Match: *` where the resource exists.
    """
    refuse_others(call)
    expected, unexpected = if_match(call), if_none_match(call)
    body = await written(call)
    version = await call.tenant.update(
        body,
        type=call.type,
        id=call.id,
        if_match=expected,
        if_none_match=unexpected,
        skip_unchanged=call.settings.skip_unchanged,
    )
    return await stored(call, version, status=201 if version.created else 200)
