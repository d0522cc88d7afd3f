"""capabilities: https://hl7.org/fhir/R4/http.html#capabilities."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from fhirstore.errors import InvalidResource
from fhirstore.threads import offload_if
from server.content.representation import AS_STORED
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
    content, digest = await capability_statement(call, dict(call.query))
    tag = f'W/"{digest}"'
    if has_tag(call, digest):
        return not_modified(tag)
    return await offload_if(call.representation is not AS_STORED, _answer, call, content, tag)


def _answer(call: Call, content: bytes, tag: str) -> Response:
    return resource_answer(call, call.representation.entry(content), headers={"ETag": tag})


async def capability_statement(call: Call, parameters: Mapping[str, str]) -> tuple[bytes, str]:
    """Returns the resource for these parameters, as JSON, and its opaque tag. Raises InvalidResource (`mode`)."""
    mode = parameters.get("mode", "full")
    if mode not in MODES:
        raise InvalidResource(f"mode must be one of {', '.join(MODES)}", code="value")
    tenant = None if call.acting is None else call.acting.supported_search  # where tokens are needed, it is unknown
    return await call.process.capabilities(call.base_url, mode=mode, tenant=tenant)
