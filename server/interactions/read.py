"""read: https://hl7.org/fhir/R4/http.html#read."""

from __future__ import annotations

from starlette.responses import Response

from server.call import Call, VersionResponse


async def read(call: Call) -> Response:
    """GET [base]/[type]/[id]: the current version; 404 if there never was one, 410 if it was deleted."""
    return VersionResponse(await call.tenant.read(call.type, call.id))
