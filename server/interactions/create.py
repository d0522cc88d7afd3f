"""create, conditional create: https://hl7.org/fhir/R4/http.html#create, https://hl7.org/fhir/R4/http.html#ccreate."""

from __future__ import annotations

from starlette.responses import Response

from server.answers import stored
from server.call import Call
from server.conditions import header_criteria
from server.content.binary import written
from server.preconditions import idempotency_key


async def create(call: Call) -> Response:
    """POST [base]/[type]: 201 with Location; the server assigns the id.

    With `If-None-Exist`, 200 and the resource that matches, as it is, if one does; 412 if several do. With
    `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header), a repeated request gets the first answer again.
    """
    key, criteria = idempotency_key(call), header_criteria(call, b"if-none-exist")
    body = await written(call)
    version = await call.tenant.create(body, type=call.type, idempotency_key=key, if_none_exist=criteria)
    return stored(call, version, status=201 if version.created else 200)
