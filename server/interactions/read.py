"""read: https://hl7.org/fhir/R4/http.html#read."""

from __future__ import annotations

from starlette.responses import Response

from server.content.binary import make_room
from server.http.answers import of_attachments, shown
from server.http.call import Call
from server.http.parameters import refuse_others


async def read(call: Call) -> Response:
    """GET [base]/[type]/[id]: the current version; 404 if there never was one, 410 if it was deleted.

    304 where the client has that version (https://hl7.org/fhir/R4/http.html#cread).
    """
    refuse_others(call, *of_attachments(call))
    if call.type == "Binary":
        await make_room(call)
    return await shown(call, await call.tenant.read(call.type, call.id))
