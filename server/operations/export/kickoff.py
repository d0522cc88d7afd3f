"""Kick-off: $export of the system, of all Patients, of the members of a Group.

202 with the polling location in Content-Location. The client must prefer `respond-async`: an export begins by a
request that says so, and not by a GET that a page or a crawler made.

https://hl7.org/fhir/uv/bulkdata/export.html#bulk-data-kick-off-request
"""

from __future__ import annotations

from dataclasses import replace

from starlette.responses import Response

from fhirstore.errors import InvalidResource, Issue, UnknownType, Unsupported
from fhirstore.fhir import json
from fhirstore.threads import LARGE, offload_if
from server.auditing.touched import touch_job
from server.content.body import as_json, raw_body
from server.http.answers import resource_answer
from server.http.call import Call
from server.http.outcome import operation_outcome
from server.http.prefer import asks, handling, is_lenient
from server.operations.export.parameters import NAMES, Wire, body_pairs, export_request
from server.operations.export.urls import status_url

_RESPOND_ASYNC = "respond-async"
_SEPARATE = "separate-export-status"


async def export_system(call: Call) -> Response:
    """GET and POST [base]/$export: everything."""
    return await _kick_off(call, "system", "/$export")


async def export_patients(call: Call) -> Response:
    """GET and POST [base]/Patient/$export: all Patients and their compartments."""
    return await _kick_off(call, "patient", "/Patient/$export")


async def export_group(call: Call) -> Response:
    """GET and POST [base]/Group/[id]/$export: the members of a Group and their compartments."""
    return await _kick_off(call, "group", f"/Group/{call.id}/$export")


async def _kick_off(call: Call, level: str, path: str) -> Response:
    version, method = call.settings.bulk_version, call.scope["method"]
    if not asks(call, _RESPOND_ASYNC):
        raise InvalidResource(f"An export takes a while: send the header Prefer: {_RESPOND_ASYNC}", code="required")
    pairs = call.query
    if version == 4 and any(name in NAMES for name, _ in pairs):
        raise InvalidResource("The parameters go into the body, as a Parameters resource", code="value")
    if method == "POST":
        pairs += await _posted(call)
    query = call.scope["query_string"].decode("latin-1")
    wire = Wire(version=version, posted=method == "POST", lenient=is_lenient(call), base_url=call.base_url)
    url = f"{call.base_url}{path}" + (f"?{query}" if query else "")
    asked = export_request(pairs, wire, level=level, group=call.id if level == "group" else None, url=url)
    client = call.request.client
    try:
        export = await call.tenant.exports.start(replace(asked, by=f"http:{client.host if client else 'unknown'}"))
    except (UnknownType, Unsupported) as error:  # of a parameter: the operation is here, and can do other things
        raise InvalidResource(str(error), expression=error.issues[0].expression, code=error.issues[0].code) from error
    touch_job(call.scope, export.id)
    return _accepted(call, export.id, export.ignored)


async def _posted(call: Call) -> list[tuple[str, str]]:
    """Returns the parameters in the body; none without a body. Raises as `resource_body`."""
    body = await raw_body(call, required=False)
    if not body:
        return []
    body = await as_json(call, body)
    return body_pairs(await offload_if(len(body) > LARGE, json.parse, body))


def _accepted(call: Call, id_: str, ignored: tuple[Issue, ...]) -> Response:
    separate = asks(call, _SEPARATE)
    applied = [_RESPOND_ASYNC, *([_SEPARATE] if separate else [])]
    if handling(call) is not None:
        applied.append(f"handling={handling(call)}")
    where = status_url(call, id_, separate=separate)
    headers = {"Content-Location": where, "Preference-Applied": ", ".join(applied)}
    told = Issue.information(f"The export has begun; ask for its status at {where}")
    return resource_answer(call, operation_outcome((told, *ignored)), status=202, headers=headers)
