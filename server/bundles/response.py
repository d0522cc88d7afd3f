"""The Bundle that answers a batch or a transaction.

It has one entry for each entry of the request, in the same order: `response` with status, location, ETag and time of
the interaction; `resource` where the entry reads, or where `Prefer: return=representation` asks for what was written.

https://hl7.org/fhir/R4/http.html#transaction-response · https://hl7.org/fhir/R4/bundle-definitions.html#Bundle.entry.response
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus

from starlette.responses import Response

from fhirstore import (
    BundleResult,
    EntryResult,
    HistoryPage,
    HistoryRequest,
    SearchPage,
    SearchRequest,
    Version,
    instant,
)
from fhirstore.errors import Issue
from fhirstore.threads import LARGE, offload_if
from server.bundles import writer
from server.bundles.history import history
from server.bundles.searchset import searchset
from server.bundles.writer import PiecesResponse
from server.content.representation import AS_STORED, in_bundle
from server.http.answers import done_answer
from server.http.call import Call
from server.http.fields import etag
from server.http.in_flight import SMALL, end_work, share_of
from server.http.outcome import error_answer, operation_outcome
from server.http.prefer import applied, returned
from server.http.refusal import Refused

_FEW = 32  # entries that are written without a thread


async def bundle_response(call: Call, result: BundleResult) -> Response:
    """Returns the answer to the Bundle that `call` brought."""
    end_work(call.scope)
    pieces = await offload_if(_is_long(call, result), lambda: list(_bundle(call, result)))
    wish = returned(call)
    if (size := sum(map(len, pieces))) > SMALL:
        share_of(call.scope).owe(size)
    response: Response = PiecesResponse(pieces, AS_STORED.content_type)
    if call.representation is not AS_STORED:
        with suppress(Refused):  # it was processed, so it is answered: as JSON where a resource has no XML
            response = await done_answer(call, b"".join(pieces))
    return applied(response, "return", wish)


def _is_long(call: Call, result: BundleResult) -> bool:
    """Whether writing it takes milliseconds: it has many entries or resources, or resources to be parsed."""
    if len(result.results) > _FEW or call.representation is not AS_STORED:
        return True
    if sum(len(one.versions) for one in result.results) > _FEW:
        return True
    parts = (one for one in result.results if one.view is not None and not one.view.whole)
    return sum(one.brought for one in parts) > LARGE


def _bundle(call: Call, result: BundleResult) -> Iterator[bytes]:
    wish, base_url = returned(call), call.base_url
    entries = (_entry(call, one, wish, base_url) for one in result.results)
    return writer.bundle({"type": f"{result.kind}-response"}, entries)


def _entry(call: Call, one: EntryResult, wish: str | None, base_url: str) -> Iterator[bytes]:
    version, asked = one.version, one.entry
    if one.error is not None or asked is None:
        return writer.entry(_failed(call, one))
    status = _status(one)
    response: dict[str, object] = {"status": f"{status} {HTTPStatus(status).phrase}"}
    if version is not None:
        if asked.writes and not version.deleted:
            response["location"] = f"{version.type}/{version.id}/_history/{version.version_id}"
        response["etag"] = etag(version.version_id)
        response["lastModified"] = instant(version.last_updated_ms)
    rest = writer.encode({"response": response})
    if wish == "OperationOutcome" and asked.writes:
        rest = _with_outcome(rest, operation_outcome((_told(version, one.deleted),)))
    shown = wish == "representation" if asked.writes else asked.method != "HEAD" and not one.not_modified
    if not shown:
        return writer.entry(rest)
    if version is not None and not version.deleted:
        form = in_bundle(one.view, call.representation, call.store)
        url = f"{base_url}/{version.type}/{version.id}"
        return writer.entry(rest, full_url=url, resource=form.entry(version.content))
    return writer.entry(rest, resource=_found(call, one, base_url))


def _found(call: Call, one: EntryResult, base_url: str) -> bytes | Iterator[bytes] | None:
    """The resource that answers a search, a history or an operation. None: there is none."""
    form = in_bundle(one.view, AS_STORED, call.store)
    if isinstance(one.request, SearchRequest) and isinstance(one.page, SearchPage):
        return searchset(base_url, one.request, one.page, form)
    if isinstance(one.request, HistoryRequest) and isinstance(one.page, HistoryPage):
        return history(base_url, one.request, one.page, form)
    return one.content if one.issues is None else operation_outcome(one.issues)


def _failed(call: Call, one: EntryResult) -> bytes:
    assert one.error is not None  # noqa: S101 - an entry that was not read is one that failed
    answer = error_answer(one.error)
    if answer.status_code >= 500:
        call.failed(answer.status_code, one.error)
    response: dict[str, object] = {"status": f"{answer.status_code} {HTTPStatus(answer.status_code).phrase}"}
    if "etag" in answer.headers:
        response["etag"] = answer.headers["etag"]
    return _with_outcome(writer.encode({"response": response}), bytes(answer.body))


def _with_outcome(rest: bytes, outcome: bytes) -> bytes:
    """`{"response":{…}}` with the outcome as the last member of the response."""
    return rest[:-2] + b',"outcome":' + outcome + b"}}"


def _status(one: EntryResult) -> int:
    assert one.entry is not None  # noqa: S101 - an entry that was not read is one that failed
    if one.not_modified:
        return 304
    if one.entry.interaction == "delete":
        return 204
    if one.entry.writes and one.version is not None and one.version.created:
        return 201
    return 200


def _told(version: Version | None, deleted: int) -> Issue:
    if deleted > 1:
        text = f"{deleted} resources deleted"
    elif version is None:
        text = "There was nothing to delete"
    elif version.deleted:
        text = f"Deleted by version {version.version_id} of {version.type}/{version.id}"
    else:
        text = f"Version {version.version_id} of {version.type}/{version.id}"
    return Issue.information(text)
