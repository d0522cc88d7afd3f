"""The table from errors to HTTP statuses, and the OperationOutcomes that tell them.

https://hl7.org/fhir/R4/http.html#operations, https://hl7.org/fhir/R4/operationoutcome.html. Diagnostics say what the
caller should do; they hold no stack trace and no data of a patient.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from fhirstore import errors
from fhirstore.errors import FhirError, Issue
from server.content.representation import AS_STORED, Representation
from server.http.fields import etag
from server.http.in_flight import Crowded
from server.http.refusal import NO_ENDPOINT, Refused, RefusedEntry
from server.http.unread import Unread, UnreadResponse

STATUS: tuple[tuple[type[errors.FhirStoreError], int], ...] = (
    (errors.MalformedContent, 400),
    (errors.RulesBroken, 422),
    (errors.InvalidResource, 400),
    (errors.InvalidName, 400),
    (errors.InvalidExpression, 422),
    (errors.PatchFailed, 422),
    (errors.UnknownType, 404),
    (errors.AccessDenied, 403),
    (errors.UnknownTenant, 404),
    (errors.TenantNotEmpty, 409),
    (errors.UnknownSubmitter, 403),
    (errors.SubmissionEnded, 409),
    (errors.TicketRefused, 403),
    (errors.UploadConflict, 409),
    (errors.UploadGone, 410),
    (errors.CursorExpired, 410),
    (errors.UploadRefused, 422),
    (errors.ManifestTaken, 409),
    (errors.SourceFailed, 400),
    (errors.NotFound, 404),
    (errors.RunNotFound, 404),
    (errors.Gone, 410),
    (errors.IdTaken, 409),
    (errors.RunSealed, 409),
    (errors.VersionConflict, 412),
    (errors.MultipleMatches, 412),
    (errors.ContentTooLarge, 413),
    (errors.PayloadMismatch, 400),
    (errors.PayloadGone, 409),
    (errors.JobExists, 409),
    (errors.IdempotencyKeyReused, 422),
    (errors.Unsupported, 501),
    (errors.Contention, 503),
    (errors.TooManyJobs, 429),
    (errors.Unavailable, 503),
    (errors.StoreCannot, 501),
    (errors.ObjectArchived, 503),
    (errors.StoreBusy, 503),
    (errors.StoreUnavailable, 503),
    (errors.RunTimedOut, 504),
    (errors.StoreFull, 507),
    (errors.StoreGone, 503),
    (errors.WriteOutcomeUnknown, 504),
    (errors.FhirStoreError, 500),
)

_ISSUE_CODES = {
    404: "not-found",
    405: "not-supported",
    406: "not-supported",
    412: "conflict",
    413: "too-long",
    415: "not-supported",
    429: "throttled",
    501: "not-supported",
}
_MOST_ISSUES = 100
_GRAVITY = {"fatal": 0, "error": 0, "warning": 1, "information": 2}
INSUFFICIENT = 'Bearer realm="fhirstore", error="insufficient_scope"'
"""The challenge of a 403: the token is good, and does not allow this (https://www.rfc-editor.org/rfc/rfc6750#section-3.1)."""

_RETRY_AFTER = (429, 503, 504)
_AFTER_A_JOB = "30"  # seconds; jobs take minutes
_AFTER_A_RESTORATION = "3600"  # seconds; a restoration takes minutes to days
_LOG_SAYS_MORE = "The object store answered with an error; the server's log says more"


def operation_outcome(issues: Iterable[Issue]) -> bytes:
    """Returns an OperationOutcome as JSON; of more than a hundred issues, the gravest and the number of others."""
    issues = tuple(issues)
    if len(issues) > _MOST_ISSUES:
        gravest = sorted(issues, key=lambda issue: _GRAVITY.get(issue.severity, 0))[:_MOST_ISSUES]
        more = Issue.information(f"{len(issues) - _MOST_ISSUES} more issues are not listed")
        issues = (*gravest, more)
    return msgspec.json.encode(
        {
            "resourceType": "OperationOutcome",
            "issue": [
                {"severity": issue.severity, "code": issue.code, "diagnostics": issue.diagnostics}
                | ({"expression": issue.expression} if issue.expression else {})
                for issue in issues
            ],
        }
    )


def status_of(error: errors.FhirStoreError) -> int:
    """Returns the HTTP status for an error of the library."""
    if isinstance(error, RefusedEntry):
        return error.status
    if isinstance(error, errors.UnknownTenant) and error.issues[0].code == "value":
        return 400
    return next(status for kind, status in STATUS if isinstance(error, kind))


def issue_code(refused: HTTPException) -> str:
    """Returns the issue code of a refusal."""
    return (refused.code if isinstance(refused, Refused) else None) or _ISSUE_CODES.get(
        refused.status_code, "processing"
    )


def error_answer(error: Exception, representation: Representation = AS_STORED) -> Response:
    """Returns the answer to any exception, in the wanted form."""
    headers: dict[str, str] = {}
    unread = isinstance(error, Unread)
    error = error.why if isinstance(error, Unread) else error
    if isinstance(error, HTTPException):
        status, headers = error.status_code, dict(error.headers or {})
        code = error.code if isinstance(error, Refused) else None
        text = NO_ENDPOINT if status == 404 and not isinstance(error, Refused) else error.detail
        issues: tuple[Issue, ...] = (Issue(code or _ISSUE_CODES.get(status, "processing"), text),)
    elif isinstance(error, errors.FhirStoreError):
        status, headers = status_of(error), _headers_of(error)
        if isinstance(error, FhirError):
            issues = error.issues
        elif isinstance(error, errors.StoreFull):
            issues = (Issue("no-store", f"Nothing was written, since the store takes no more: {error.detail}"),)
        else:
            issues = (Issue("exception", error.told or _LOG_SAYS_MORE),)
    else:
        status = 500
        issues = (Issue("exception", "Internal error; the server's log says more", severity="fatal"),)
    if status in _RETRY_AFTER:
        headers.setdefault("Retry-After", "1")
    body = operation_outcome(issues)
    try:
        body = representation.whole(body)
    except Refused:  # a character that XML does not have: then as JSON
        representation = AS_STORED
    unread = unread or isinstance(error, Crowded) or (status == 413 and not isinstance(error, errors.TooManyEntries))
    kind = UnreadResponse if unread else Response
    return kind(body, status, headers, representation.content_type.decode("ascii"))


def _headers_of(error: errors.FhirStoreError) -> dict[str, str]:
    """Returns the headers with which an error of the library is answered."""
    match error:
        case errors.VersionConflict() if error.current:
            return {"ETag": etag(error.current)}
        case errors.Gone() if error.version:
            return {"ETag": etag(error.version)}
        case errors.ObjectArchived():
            return {"Retry-After": _AFTER_A_RESTORATION}
        case errors.AccessDenied():
            return {"WWW-Authenticate": INSUFFICIENT}
        case errors.TooManyJobs():
            return {"Retry-After": _AFTER_A_JOB}
        case _:
            return {}


async def http_error(request: Request, error: Exception) -> Response:
    """Starlette's handler of errors outside of the FHIR API: they have the same form."""
    return error_answer(error)
