"""capabilities: https://hl7.org/fhir/R4/http.html#capabilities."""

from __future__ import annotations

import hashlib

import msgspec
from starlette.responses import Response

from fhirstore.errors import InvalidResource
from server.documents.capabilities import MODES, Capabilities
from server.http.answers import not_modified, resource_answer
from server.http.call import Call
from server.http.parameters import refuse_unknown
from server.http.preconditions import has_tag


async def capabilities(call: Call) -> Response:
    """GET [base]/metadata: what this server does, computed from its route table; 304 if the client has that already.

    `mode=terminology` is answered with TerminologyCapabilities.
    """
    refuse_unknown(call, "mode")
    mode = dict(call.query).get("mode", "full")
    if mode not in MODES:
        raise InvalidResource(f"mode must be one of {', '.join(MODES)}", code="value")
    statement = Capabilities(call.table, call.settings, call.release).statement(call.base_url, mode=mode)
    content = msgspec.json.encode(statement)
    digest = hashlib.sha256(content).hexdigest()[:16]
    tag = f'W/"{digest}"'
    if has_tag(call, digest):
        return not_modified(tag)
    return resource_answer(call, call.representation.entry(content), headers={"ETag": tag})
