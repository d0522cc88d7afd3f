"""$purge: an administrator removes one resource and its whole history physically.

FHIR R4 defines no such operation; it is shaped like Patient/$purge of https://hl7.org/fhir/patient-operation-purge.html.
Off unless FHIRSTORE_ENABLE_PURGE=true.
"""

from __future__ import annotations

from starlette.responses import Response

from fhirstore.errors import Issue
from server.http.answers import resource_answer
from server.http.call import Call
from server.http.outcome import operation_outcome
from server.http.parameters import refuse_unknown
from server.http.refusal import Refused


async def purge(call: Call) -> Response:
    """POST [base]/[type]/[id]/$purge: 200 and the number of versions removed, also where there were none (any more)."""
    if not call.settings.enable_purge:
        raise Refused(501, "$purge is off on this server; FHIRSTORE_ENABLE_PURGE=true turns it on")
    refuse_unknown(call)
    client = call.request.client
    purged = await call.tenant.upkeep.purge(call.type, call.id, by=f"http:{client.host if client else 'unknown'}")
    text = f"{purged.versions} versions purged" if purged.versions else "Nothing to purge: no version is there"
    if purged.objects > purged.versions:
        text += f"; {purged.objects - purged.versions} remnants of an earlier purge removed"
    return resource_answer(call, operation_outcome([Issue.information(text)]))
