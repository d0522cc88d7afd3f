"""The one table: from what went wrong to an HTTP status and an OperationOutcome.

https://hl7.org/fhir/R4/http.html#operations, https://hl7.org/fhir/R4/operationoutcome.html. Diagnostics tell the
caller what to do; they hold no stack trace and no patient data.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from fhirstore import errors
from fhirstore.errors import FhirError, Issue
from server.unread import UnreadResponse

FHIR_JSON = "application/fhir+json; charset=utf-8"

STATUS: tuple[tuple[type[errors.FhirStoreError], int], ...] = (
    (errors.MalformedContent, 400),
    (errors.InvalidResource, 400),
    (errors.UnknownType, 404),
    (errors.UnknownTenant, 404),
    (errors.NotFound, 404),
    (errors.Gone, 410),
    (errors.VersionConflict, 412),
    (errors.ContentTooLarge, 413),
    (errors.IdempotencyKeyReused, 422),
    (errors.Contention, 503),
    (errors.Unavailable, 503),
    (errors.StoreBusy, 503),
    (errors.StoreUnavailable, 503),
    (errors.WriteOutcomeUnknown, 504),
    (errors.FhirStoreError, 500),
)

_HTTP_CODES = {404: "not-found", 405: "not-supported", 406: "not-supported", 415: "not-supported", 501: "not-supported"}
_LOG = logging.getLogger("fhirstore")


class Refused(HTTPException):
    """A request refused for HTTP's own reasons (405, 406, 415, 501 …), with what to do instead."""

    def __init__(self, status: int, diagnostics: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, diagnostics, dict(headers or {}))


def operation_outcome(issues: Iterable[Issue]) -> bytes:
    """An OperationOutcome resource, as JSON."""
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
    """The HTTP status for a library error."""
    if isinstance(error, errors.UnknownTenant) and error.issues[0].code == "value":
        return 400
    return next(status for kind, status in STATUS if isinstance(error, kind))


async def library_error(request: Request, error: Exception) -> Response:
    """Answers every error of the library."""
    assert isinstance(error, errors.FhirStoreError)  # noqa: S101 - registered for these only
    status = status_of(error)
    headers: dict[str, str] = {}
    if isinstance(error, errors.VersionConflict) and error.current:
        headers["ETag"] = f'W/"{error.current}"'
    if isinstance(error, errors.Gone):
        headers["ETag"] = f'W/"{error.version}"'
    if status == 503:
        headers["Retry-After"] = "1"
    if isinstance(error, FhirError):
        issues = error.issues
    else:
        _LOG.error("%s %s: %s", request.method, type(error).__name__, error)
        issues = (Issue("exception", "The object store answered with an error; the server's log says more"),)
    return _response(status, issues, headers, UnreadResponse if status == 413 else Response)


async def http_error(_: Request, error: Exception) -> Response:
    """Answers errors of HTTP itself: no such route, method not allowed, content not acceptable."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for these only
    detail = error.detail
    if error.status_code == 404 and not isinstance(error, Refused):
        detail = "No such endpoint; the FHIR API is below /fhir, see /fhir/metadata"
    issue = Issue(_HTTP_CODES.get(error.status_code, "processing"), detail)
    return _response(error.status_code, (issue,), error.headers or {})


async def unexpected_error(request: Request, error: Exception) -> Response:
    """Answers what nobody foresaw; the log has the trace, the client does not."""
    issue = Issue("exception", "Internal error; the server's log says more", severity="fatal")
    return _response(500, (issue,), {})


def _response(
    status: int, issues: Iterable[Issue], headers: Mapping[str, str], kind: type[Response] = Response
) -> Response:
    return kind(operation_outcome(issues), status, headers, FHIR_JSON)
