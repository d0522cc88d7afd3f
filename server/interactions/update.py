"""update: https://hl7.org/fhir/R4/http.html#update."""

from __future__ import annotations

from starlette.responses import Response

from server.content.binary_body import Received, is_streamed, received, written
from server.http.answers import stored
from server.http.call import Call
from server.http.parameters import refuse_others
from server.http.preconditions import if_match, if_none_match
from server.http.unread import before_body


async def update(call: Call) -> Response:
    """PUT [base]/[type]/[id]: 200, or 201 where it brings the resource into being.

    412 on a stale If-Match, or with `If-None-Match: *` where the resource exists.
    """
    refuse_others(call)
    expected, unexpected = if_match(call), if_none_match(call)
    if is_streamed(call):
        if expected is not None or unexpected is not None:  # now, and not only when gigabytes have arrived
            with before_body():
                await call.tenant.check_preconditions(call.type, call.id, if_match=expected, if_none_match=unexpected)
        body = await received(call)
    else:
        body = await written(call)
    skip = call.settings.skip_unchanged
    if isinstance(body, Received):
        version = await call.tenant.create_binary(
            body.resource, body.payload, id=call.id, if_match=expected, if_none_match=unexpected, skip_unchanged=skip
        )
    else:
        version = await call.tenant.update(
            body, type=call.type, id=call.id, if_match=expected, if_none_match=unexpected, skip_unchanged=skip
        )
    return await stored(call, version, status=201 if version.created else 200)
