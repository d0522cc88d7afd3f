"""update: https://hl7.org/fhir/R4/http.html#update."""

from __future__ import annotations

from starlette.responses import Response

from server.call import Call, VersionResponse, version_url
from server.content import resource_body
from server.preconditions import if_match, refuse_unbuilt


async def update(call: Call) -> Response:
    """PUT [base]/[type]/[id]: 200, or 201 where it brings the resource into being; 412 on a stale If-Match."""
    refuse_unbuilt(call, "If-None-Match")
    expected = if_match(call)
    body = await resource_body(call)
    version = await call.tenant.update(body, type=call.type, id=call.id, if_match=expected)
    return VersionResponse(version, status=201 if version.created else 200, location=version_url(call, version))
