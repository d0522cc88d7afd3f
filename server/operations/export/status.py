"""Polls and DELETE of an export, and its manifest.

202 while it is under way, 200 with the manifest when it is done, 500 with an OperationOutcome when it failed, 404 when
it was removed. For a client that asked for `separate-export-status`, the status of a poll is its own, 200, and
X-Export-Status is that of the export.

https://hl7.org/fhir/uv/bulkdata/export.html#bulk-data-status-request
"""

from __future__ import annotations

from http import HTTPStatus

import msgspec
from starlette.responses import Response

from fhirstore import ExportManifest, ExportStatus, render_manifest
from fhirstore.errors import Issue
from server.http.answers import resource_answer
from server.http.call import Call
from server.http.http_dates import http_date
from server.http.outcome import operation_outcome
from server.http.parameters import refuse_others
from server.http.refusal import Refused
from server.operations.export.files import urls_of
from server.operations.export.urls import PAGE, SEPARATE, asked_id, checked_name, page_url

_JSON = "application/json"
_LONGEST_PROGRESS = 99  # characters; "less than 100"


async def export_status(call: Call) -> Response:
    """GET [base]/_export/[id]: how far an export is, or its manifest. Raises NotFound, Refused (429)."""
    refuse_others(call, SEPARATE[0], PAGE)
    id_, query = asked_id(call), dict(call.query)
    _refuse_haste(call, id_)
    if PAGE in query:
        page = await call.tenant.exports.page(id_, checked_name(query[PAGE]))
        return await _manifest(call, id_, page)
    status = await call.tenant.exports.status(id_)
    answer = await _answer(call, id_, status)
    if query.get(SEPARATE[0]) == SEPARATE[1]:
        told = HTTPStatus(answer.status_code)
        answer.headers["X-Export-Status"] = f"{told.value} {told.phrase}"
        answer.status_code = 200
    return answer


async def delete_export(call: Call) -> Response:
    """DELETE [base]/_export/[id]: cancels an export that is under way, removes one that is done. Raises NotFound."""
    refuse_others(call, SEPARATE[0])
    await call.tenant.exports.cancel(asked_id(call))
    told = Issue.information("The export and its files are removed")
    return resource_answer(call, operation_outcome((told,)), status=202)


async def _answer(call: Call, id_: str, status: ExportStatus) -> Response:
    if status.status == "failed":
        issues = status.failure or (Issue("exception", "The export failed; start another one"),)
        return resource_answer(call, operation_outcome(issues), status=500)
    if status.status == "completed" and status.manifest is not None:
        return await _manifest(call, id_, status.manifest, expires_at=status.expires_at)
    headers = {"X-Progress": _progress(status.progress), "Retry-After": str(max(1, status.retry_after))}
    if status.manifest is None:
        return Response(None, 202, headers)
    answer = await _manifest(call, id_, status.manifest, status=202)
    answer.headers.update(headers)
    return answer


def _progress(text: str) -> str:
    """Returns what a header can hold of a text."""
    return text.replace("·", "-").encode("ascii", "replace").decode("ascii")[:_LONGEST_PROGRESS]


async def _manifest(
    call: Call, id_: str, manifest: ExportManifest, *, status: int = 200, expires_at: int | None = None
) -> Response:
    urls = await urls_of(call, id_, manifest, expires_at=expires_at)
    shown = render_manifest(
        manifest,
        version=4 if call.settings.bulk_version == 4 else 3,
        url_of=urls.of,
        requires_access_token=call.settings.authenticates and call.settings.export_urls == "server",
        page_url_of=lambda name: page_url(call, id_, name),
    )
    headers = {"Content-Type": _JSON}
    if urls.expire_at is not None:
        headers["Expires"] = http_date(urls.expire_at)
    return Response(msgspec.json.encode(shown), status, headers)


def _refuse_haste(call: Call, id_: str) -> None:
    """Raises Refused (429) where this export is polled too fast."""
    seconds = call.process.poll_again_in(call.own(id_))
    if seconds:
        raise Refused(
            429,
            "This export is polled too fast; wait as long as Retry-After says",
            headers={"Retry-After": str(seconds)},
            code="throttled",
        )
