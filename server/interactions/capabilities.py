"""capabilities: https://hl7.org/fhir/R4/http.html#capabilities."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from server.call import Call
from server.capabilities import capability_statement
from server.outcome import FHIR_JSON
from server.refusal import Refused


async def capabilities(call: Call) -> Response:
    """GET [base]/metadata: what this server does, computed from its route table."""
    if call.request.query_params.get("mode", "full") != "full":
        raise Refused(501, "Only mode=full is implemented")
    statement = capability_statement(call.base_url, call.table)
    return Response(msgspec.json.encode(statement), 200, None, FHIR_JSON)
