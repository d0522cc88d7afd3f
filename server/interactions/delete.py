"""delete: https://hl7.org/fhir/R4/http.html#delete."""

from __future__ import annotations

from starlette.responses import Response

from fhirstore import Version
from fhirstore.errors import Issue
from server.auditing.touched import touch
from server.http.answers import resource_answer
from server.http.call import Call
from server.http.fields import etag
from server.http.outcome import operation_outcome
from server.http.parameters import refuse_others
from server.http.preconditions import if_match, if_none_match
from server.http.prefer import applied, returned


async def delete(call: Call) -> Response:
    """DELETE [base]/[type]/[id]: 204, also where there is nothing (any more) to delete; 412 on a stale If-Match.

    200 with an OperationOutcome where the client prefers one.
    """
    refuse_others(call)
    expected, unexpected = if_match(call), if_none_match(call)
    return deleted(call, await call.tenant.delete(call.type, call.id, if_match=expected, if_none_match=unexpected))


def deleted(call: Call, tombstone: Version | None, *, count: int = 0) -> Response:
    """Returns 204, or an OperationOutcome if that is preferred. `count`: of resources, where several were deleted."""
    if tombstone is not None:
        touch(call.scope, (tombstone,))
    headers = {} if tombstone is None else {"ETag": etag(tombstone.version_id)}
    if returned(call) != "OperationOutcome":
        return Response(None, 204, headers)
    text = "Nothing to delete" if tombstone is None else f"Deleted by version {tombstone.version_id}"
    if count > 1:
        text = f"{count} resources deleted"
    body = operation_outcome((Issue.information(text),))
    return applied(resource_answer(call, body, headers=headers), "return", "OperationOutcome")
