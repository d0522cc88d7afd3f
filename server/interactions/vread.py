"""vread: https://hl7.org/fhir/R4/http.html#vread."""

from __future__ import annotations

from starlette.responses import Response

from fhirstore.errors import NotFound
from server.content.binary import make_room
from server.http.answers import of_attachments, shown
from server.http.call import Call
from server.http.parameters import refuse_others


async def vread(call: Call) -> Response:
    """GET [base]/[type]/[id]/_history/[vid]: that version; 410 if that version is a deletion."""
    refuse_others(call, *of_attachments(call))
    text = call.parameters["vid"]
    if not (text.isascii() and text.isdigit() and len(text) <= 18 and not text.startswith("0")):
        raise NotFound("No such version: version ids of this server are 1, 2, 3 …")
    if call.type == "Binary":
        await make_room(call)
    return await shown(call, await call.tenant.vread(call.type, call.id, int(text)))
