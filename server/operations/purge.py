"""$purge removes one resource and its whole history physically, for an administrator.

FHIR R4 does not define it; it resembles Patient/$purge of https://hl7.org/fhir/patient-operation-purge.html.
Off unless FHIRSTORE_ENABLE_PURGE=true.
"""

from __future__ import annotations

from starlette.responses import Response

from fhirstore.errors import Issue
from server.http.answers import resource_answer
from server.http.call import Call
from server.http.outcome import operation_outcome
from server.http.parameters import refuse_others
from server.http.refusal import Refused


async def purge(call: Call) -> Response:
    """POST [base]/[type]/[id]/$purge: 200 and the number of versions removed, also where there were none (any more)."""
    if not call.settings.enable_purge:
        raise Refused(501, "$purge is off on this server; FHIRSTORE_ENABLE_PURGE=true turns it on")
    refuse_others(call)
    return resource_answer(call, await purge_resource(call, call.type, call.id))


async def purge_resource(call: Call, type_: str, id_: str) -> bytes:
    """Purges one resource for the client of `call`; returns an OperationOutcome that says what was removed.

    Raises Refused (501) where $purge is off.
    """
    if not call.settings.enable_purge:
        raise Refused(501, "$purge is off on this server; FHIRSTORE_ENABLE_PURGE=true turns it on")
    client = call.request.client
    purged = await call.tenant.upkeep.purge(type_, id_, by=f"http:{client.host if client else 'unknown'}")
    text = f"{purged.versions} versions purged" if purged.versions else "Nothing to purge: no version is there"
    if purged.objects > purged.versions:
        text += f"; {purged.objects - purged.versions} remnants of an earlier purge removed"
    return operation_outcome([Issue.information(text)])
