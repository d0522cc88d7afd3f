"""create, conditional create: https://hl7.org/fhir/R4/http.html#create, https://hl7.org/fhir/R4/http.html#ccreate."""

from __future__ import annotations

from starlette.responses import Response

from server.content.binary_body import Received, is_streamed, received, written
from server.http.answers import stored
from server.http.call import Call
from server.http.criteria import header_criteria, url_criteria
from server.http.preconditions import idempotency_key
from server.http.refusal import Refused


async def create(call: Call) -> Response:
    """POST [base]/[type]: 201 with Location; the server assigns the id.

    With `If-None-Exist`: 200 and the resource that matches, unchanged, if one does; 412 if several do; 400 if none does
    and the body does not meet the criteria either. Some clients (fhirpy) send the criteria in the URL, as for a
    conditional update. With `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header), a repeated request is
    answered as the first one.
    """
    key, criteria = idempotency_key(call), _criteria(call)
    body = await received(call) if criteria is None and is_streamed(call) else await written(call)
    if isinstance(body, Received):
        version = await call.tenant.create_binary(body.resource, body.payload, idempotency_key=key)
    else:
        version = await call.tenant.create(body, type=call.type, idempotency_key=key, if_none_exist=criteria)
    return await stored(call, version, status=201 if version.created else 200)


def _criteria(call: Call) -> str | None:
    header, url = header_criteria(call, b"if-none-exist"), url_criteria(call) or None
    if header is not None and url is not None:
        raise Refused(400, "If-None-Exist and criteria in the URL: send one of them", code="value")
    return url if header is None else header
