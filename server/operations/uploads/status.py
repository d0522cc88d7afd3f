"""What was received of an upload, so that a client goes on after a cut; and giving an upload up.

`Upload-Offset`: bytes from the beginning without a gap; `Upload-Length`: of the whole. Of a PUT or a form to the store
itself, only the store knows how far it is.
"""

from __future__ import annotations

from starlette.responses import Response

from fhirstore import UploadStatus
from fhirstore.errors import Issue
from server.http.answers import resource_answer
from server.http.call import Call
from server.http.outcome import operation_outcome
from server.http.parameters import refuse_others
from server.operations.uploads.parameters import Parameter, facts_of, parameters_of
from server.operations.uploads.urls import asked_id

_MOST_GAPS = 1_000


async def upload_status(call: Call) -> Response:
    """GET and HEAD [base]/_upload/[id]: Parameters with status, received bytes and gaps. Raises NotFound."""
    refuse_others(call)
    found = await call.tenant.uploads.status(asked_id(call))
    gaps = gaps_of(found)[:_MOST_GAPS]
    shown = facts_of(found.upload)
    headers = {}
    if found.received is not None:
        shown.append({"name": "received", "valueDecimal": found.received})
        headers = {
            "Upload-Offset": str(gaps[0][0] if gaps else found.received),
            "Upload-Length": str(found.upload.most),
        }
    shown += [_gap(start, end) for start, end in gaps]
    return resource_answer(call, parameters_of(shown), headers=headers)


async def delete_upload(call: Call) -> Response:
    """DELETE [base]/_upload/[id]: gives it up; what was sent is removed. Raises NotFound, UploadConflict."""
    refuse_others(call)
    upload = await call.tenant.uploads.abort(asked_id(call))
    text = "The upload was completed before; its Binary stays" if upload.status == "done" else "The upload has ended"
    return resource_answer(call, operation_outcome((Issue.information(text),)))


def gaps_of(found: UploadStatus) -> list[tuple[int, int]]:
    """Returns the bytes [start, end) that are still to be sent, neighbouring parts together."""
    gaps: list[tuple[int, int]] = []
    for number in found.missing:
        start = (number - 1) * found.upload.part_size
        end = start + found.upload.part_bytes(number)
        if gaps and gaps[-1][1] == start:
            gaps[-1] = (gaps[-1][0], end)
        else:
            gaps.append((start, end))
    return gaps


def _gap(start: int, end: int) -> Parameter:
    return {
        "name": "missing",
        "part": [{"name": "start", "valueDecimal": start}, {"name": "end", "valueDecimal": end}],
    }
