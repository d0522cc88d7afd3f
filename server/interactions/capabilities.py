"""capabilities: https://hl7.org/fhir/R4/http.html#capabilities."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec
from starlette.responses import Response

from fhirstore.errors import InvalidResource
from server.documents.capabilities import MODES
from server.http.answers import not_modified, resource_answer
from server.http.call import Call
from server.http.parameters import refuse_others
from server.http.preconditions import has_tag


async def capabilities(call: Call) -> Response:
    """GET [base]/metadata: what this server does, computed from its route table; 304 if the client has that already.

    `mode=terminology` is answered with TerminologyCapabilities.
    """
    refuse_others(call, "mode")
    content, digest = capability_statement(call, dict(call.query))
    tag = f'W/"{digest}"'
    if has_tag(call, digest):
        return not_modified(tag)
    return resource_answer(call, call.representation.entry(content), headers={"ETag": tag})


def capability_statement(call: Call, parameters: Mapping[str, str]) -> tuple[bytes, str]:
    """Returns the resource for these parameters, as JSON, and its opaque tag. Raises InvalidResource (`mode`)."""
    mode = parameters.get("mode", "full")
    if mode not in MODES:
        raise InvalidResource(f"mode must be one of {', '.join(MODES)}", code="value")
    content = msgspec.json.encode(call.process.capabilities(call.base_url, mode=mode))
    return content, hashlib.sha256(content).hexdigest()[:16]
