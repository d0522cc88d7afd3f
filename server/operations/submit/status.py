"""Polls and DELETE of a polling location, the status manifest, and its files.

202 while the submission may go on or is being processed, 200 when it is completed, or stopped, and everything is
processed or undone, 500 with an OperationOutcome when it was given up, 404 when the location was deleted. A 202 has a
manifest as soon as there are files to list. For a client that asked for `separate-export-status`, the status of a poll
is its own, 200, and X-Export-Status is that of the submission.

https://hl7.org/fhir/uv/bulkdata/submit.html#bulk-submit-status-request-flow (4.0.0-ballot)
"""

from __future__ import annotations

import hashlib
from http import HTTPStatus

import msgspec
from starlette.responses import Response

from fhirstore import SubmissionStatus, SubmissionWatch, render_status_manifest
from fhirstore.errors import InvalidResource, Issue, NotFound, ObjectNotFound
from server.content.files import File, file_answer
from server.http.answers import resource_answer
from server.http.call import Call
from server.http.http_dates import http_date
from server.http.outcome import operation_outcome
from server.http.parameters import refuse_others
from server.http.refusal import Refused
from server.operations.submit.urls import PAGE, SEPARATE, asked_watch, file_url, page_url

_JSON = "application/json"
_NDJSON = "application/fhir+ndjson"


async def submission_status(call: Call) -> Response:
    """GET [base]/_submission/[submission]/[watch]. Raises NotFound, Refused (429)."""
    refuse_others(call, SEPARATE[0], PAGE)
    watch, query = asked_watch(call), dict(call.query)
    _refuse_haste(call, watch)
    status = await call.tenant.submissions.watched(watch)
    answer = _answer(call, watch, status, _page(query.get(PAGE, "0")))
    if query.get(SEPARATE[0]) == SEPARATE[1]:
        told = HTTPStatus(answer.status_code)
        answer.headers["X-Export-Status"] = f"{told.value} {told.phrase}"
        answer.status_code = 200
    return answer


async def delete_submission_status(call: Call) -> Response:
    """DELETE [base]/_submission/[submission]/[watch]: ends the question; the submission goes on. Raises NotFound."""
    refuse_others(call, SEPARATE[0])
    await call.tenant.submissions.unwatch(asked_watch(call))
    told = Issue.information("The polling location is removed; the submission itself goes on")
    return resource_answer(call, operation_outcome((told,)), status=202)


async def submission_file(call: Call) -> Response:
    """GET and HEAD [base]/_submission/[submission]/[watch]/[name]: a file of OperationOutcomes. Raises NotFound."""
    watch, name = asked_watch(call), call.parameters["file"]
    submissions = call.tenant.submissions
    key, file = await submissions.watched_file(watch, name)
    tag = hashlib.sha256(f"{key} {file.size}".encode()).hexdigest()  # a name has one content for ever
    facts = File(file.size, _NDJSON, tag, None, name)
    try:
        return await file_answer(call, facts, lambda start, end: submissions.open_file(key, start=start, end=end))
    except ObjectNotFound:
        raise NotFound("The file was removed with its submission") from None


def _answer(call: Call, watch: SubmissionWatch, status: SubmissionStatus, page: int) -> Response:
    if status.failure:
        return resource_answer(call, operation_outcome(status.failure), status=500)
    headers = {"Content-Type": _JSON}
    if status.finished:
        if status.expires_at is not None:
            headers["Expires"] = http_date(status.expires_at)
        return Response(_manifest(call, watch, status, page), 200, headers)
    waiting = {"X-Progress": status.progress[:99], "Retry-After": str(max(1, status.retry_after))}
    if not status.files:
        return Response(None, 202, waiting)
    return Response(_manifest(call, watch, status, page), 202, headers | waiting)


def _manifest(call: Call, watch: SubmissionWatch, status: SubmissionStatus, page: int) -> bytes:
    shown = render_status_manifest(
        status,
        url_of=lambda name: file_url(call, watch, name),
        requires_access_token=call.settings.authenticates,
        page=page,
        page_url_of=lambda number: page_url(call, watch, number),
        request=f"{call.base_url}/$bulk-submit-status" if call.settings.bulk_version < 4 else None,
    )
    return msgspec.json.encode(shown)


def _page(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise InvalidResource("page is a number, as in the link of a manifest", code="value")
    return int(text)


def _refuse_haste(call: Call, watch: SubmissionWatch) -> None:
    """Raises Refused (429) where this location is polled too fast."""
    seconds = call.process.poll_again_in(call.own(watch.id))
    if seconds:
        raise Refused(
            429,
            "This status is polled too fast; wait as long as Retry-After says",
            headers={"Retry-After": str(seconds)},
            code="throttled",
        )
