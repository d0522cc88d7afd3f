"""$validate: https://hl7.org/fhir/R4/resource-operation-validate.html.

The answer is 200 with an OperationOutcome, also for an invalid resource. Only a request that cannot be validated is
refused: without a resource, malformed JSON or XML, an unknown mode or profile.
"""

from __future__ import annotations

from starlette.responses import Response

from fhirstore import ValidateRequest
from server.content.body import as_json, raw_body, resource_body
from server.http.answers import resource_answer
from server.http.call import Call
from server.http.outcome import operation_outcome
from server.http.parameters import refuse_others


async def validate(call: Call) -> Response:
    """POST [base]/[type]/$validate: the resource in the body, bare or in Parameters with mode and profile."""
    return await _answer(call, await resource_body(call))


async def validate_instance(call: Call) -> Response:
    """GET and POST [base]/[type]/[id]/$validate: the resource in the body, else the stored one."""
    body = await raw_body(call, required=False) if call.scope["method"] == "POST" else b""
    return await _answer(call, await as_json(call, body) if body else None)


async def _answer(call: Call, body: bytes | None) -> Response:
    refuse_others(call, "mode", "profile")
    query = call.query
    profiles = tuple(value for name, value in query if name == "profile")
    mode = dict(query).get("mode", "")
    request = ValidateRequest(call.type, call.parameters.get("id", ""), mode=mode, profiles=profiles)
    return resource_answer(call, operation_outcome(await call.tenant.validate(request, body)))
