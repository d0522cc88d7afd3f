"""create: https://hl7.org/fhir/R4/http.html#create."""

from __future__ import annotations

from starlette.responses import Response

from server.answers import stored
from server.call import Call
from server.content.binary import written
from server.preconditions import idempotency_key, refuse_unbuilt


async def create(call: Call) -> Response:
    """POST [base]/[type]: 201 with Location; the server assigns the id.

    With `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header), a repeated request gets the first answer again.
    """
    refuse_unbuilt(call, "If-None-Exist")
    key = idempotency_key(call)
    body = await written(call)
    version = await call.tenant.create(body, type=call.type, idempotency_key=key)
    return stored(call, version, status=201)
