"""delete: https://hl7.org/fhir/R4/http.html#delete."""

from __future__ import annotations

from starlette.responses import Response

from server.call import Call
from server.preconditions import if_match


async def delete(call: Call) -> Response:
    """DELETE [base]/[type]/[id]: 204, also where there is nothing (any more) to delete; 412 on a stale If-Match."""
    tombstone = await call.tenant.delete(call.type, call.id, if_match=if_match(call))
    return Response(None, 204, {} if tombstone is None else {"ETag": f'W/"{tombstone.version_id}"'})
