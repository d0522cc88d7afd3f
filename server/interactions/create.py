"""create: https://hl7.org/fhir/R4/http.html#create."""

from __future__ import annotations

from starlette.responses import Response

from server.call import Call, version_response, version_url
from server.content import resource_body
from server.preconditions import refuse_unbuilt


async def create(call: Call) -> Response:
    """POST [base]/[type]: 201 with Location; the server assigns the id."""
    refuse_unbuilt(call, "If-None-Exist", "Idempotency-Key")
    body = await resource_body(call)
    version = await call.tenant.create(body, type=call.type)
    return version_response(version, status=201, location=version_url(call, version))
