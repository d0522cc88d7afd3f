"""$bulk-submit, a request of a submission, and $bulk-submit-status, the kick-off of a question about it.

Who may submit is what FHIRSTORE_SUBMITTERS says; the request names its submitter. A worker fetches and processes what
was submitted, after the answer.

https://hl7.org/fhir/uv/bulkdata/submit.html (4.0.0-ballot)
"""

from __future__ import annotations

from starlette.responses import Response

from fhirstore import read_submit, read_submit_status
from fhirstore.errors import Issue
from fhirstore.fhir import json
from fhirstore.fhir.json import JsonObject
from fhirstore.threads import LARGE, offload_if
from server.content.body import as_json, raw_body
from server.http.answers import resource_answer
from server.http.call import Call
from server.http.outcome import operation_outcome
from server.http.parameters import refuse_others
from server.http.prefer import asks
from server.operations.submit.urls import status_url

_RESPOND_ASYNC = "respond-async"
_SEPARATE = "separate-export-status"
_MOST = 1024 * 1024  # bytes of the Parameters


async def bulk_submit(call: Call) -> Response:
    """POST [base]/$bulk-submit: 200, once the request is stored.

    Raises InvalidResource, UnknownSubmitter, SubmissionEnded, ManifestTaken, NotFound (the manifest to be replaced),
    SourceFailed (a manifestUrl that must not be fetched), TooManyJobs, Unsupported.
    """
    refuse_others(call)
    request = read_submit(await _parameters(call), release=call.store.release)
    submission = await call.tenant.submissions.submit(request)
    told = Issue.information(f"Accepted; the submission is {submission.state}. Ask $bulk-submit-status how it goes")
    return resource_answer(call, operation_outcome((told,)))


async def bulk_submit_status(call: Call) -> Response:
    """POST [base]/$bulk-submit-status: 202 with the polling location, whether `respond-async` is preferred or not.

    Raises InvalidResource, UnknownSubmitter, NotFound.
    """
    refuse_others(call)
    asked = read_submit_status(await _parameters(call), release=call.store.release)
    watch = await call.tenant.submissions.watch(asked.submitter, asked.submission_id)
    separate = asks(call, _SEPARATE)
    where = status_url(call, watch, separate=separate)
    headers = {"Content-Location": where}
    if asks(call, _RESPOND_ASYNC):
        headers["Preference-Applied"] = f"{_RESPOND_ASYNC}, {_SEPARATE}" if separate else _RESPOND_ASYNC
    told = Issue.information(f"Ask for the status at {where}")
    return resource_answer(call, operation_outcome((told,)), status=202, headers=headers)


async def _parameters(call: Call) -> JsonObject:
    """Returns the body. Raises as `resource_body`."""
    body = await as_json(call, await raw_body(call, most=_MOST))
    return await offload_if(len(body) > LARGE, json.parse, body)
