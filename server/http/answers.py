"""Answers that carry a resource: a version, or a resource made for the answer (a Bundle, a CapabilityStatement …)."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from fhirstore import Version
from fhirstore.errors import InvalidResource, Issue
from fhirstore.threads import LARGE, offload, offload_if
from server.auditing.touched import touch
from server.bundles.writer import PiecesResponse
from server.content.binary import filled_answer, made_room, native
from server.content.representation import AS_STORED, Representation
from server.http.call import Call
from server.http.fields import etag
from server.http.http_dates import last_modified
from server.http.in_flight import SMALL, end_work, share_of
from server.http.outcome import operation_outcome
from server.http.preconditions import is_unchanged, refuse_unexpected
from server.http.prefer import applied, returned
from server.http.refusal import Refused

ATTACHMENTS = "_attachments"
"""This server's own parameter: `inline` puts the data of attachments back that lies in Binaries here."""


class VersionResponse(Response):
    """A version as an answer, with ETag and Last-Modified (https://hl7.org/fhir/R4/http.html#read).

    It makes its headers itself: it is the answer to nearly every request. Benchmark: reads, see docs/performance.md.
    """

    def __init__(
        self,
        version: Version,
        representation: Representation = AS_STORED,
        *,
        status: int = 200,
        location: str | None = None,
    ) -> None:
        self.status_code = status
        self.body = version.content if representation is AS_STORED else representation.resource(version.content)
        self.background = None
        self.raw_headers = [
            (b"etag", b'W/"%d"' % version.version_id),
            (b"last-modified", last_modified(version.last_updated_ms).encode("ascii")),
            (b"content-type", representation.content_type),
            (b"content-length", b"%d" % len(self.body)),
        ]
        if location is not None:
            where = location.encode("latin-1", "replace")
            self.raw_headers += ((b"location", where), (b"content-location", where))


async def shown(call: Call, version: Version) -> Response:
    """Returns the answer to a read or vread: the version, or 304 where the client has it.

    A Binary is answered with its content where the client does not ask for FHIR; otherwise with the content in it,
    wherever it lies. Raises VersionConflict (If-Match), Crowded.
    """
    touch(call.scope, (version,))
    if version.type == "Binary":
        made_room(call, version)
    elif len(version.content) > SMALL:
        share_of(call.scope).take(len(version.content))
    refuse_unexpected(call, version)
    content = await offload_if(_is_large(version), native, call, version) if version.type == "Binary" else None
    if is_unchanged(call, version):
        tag = etag(version.version_id) if content is None else content.tag
        return not_modified(tag, version.last_updated_ms)
    if content is not None:
        return await content.answer(call)
    if version.payload is not None and call.representation.view.whole:
        return await filled_answer(call, version, version.payload)
    if _wants_attachments(call):
        version = await call.tenant.with_attachments(version, most=call.settings.max_body, base_url=call.base_url)
        share_of(call.scope).take(len(version.content))
    return await _in_form(call, version)


def of_attachments(call: Call) -> tuple[str, ...]:
    """Returns the parameter `_attachments` if the URL has it: messages about others do not name it."""
    return (ATTACHMENTS,) if ATTACHMENTS.encode() in call.scope["query_string"] else ()


def _wants_attachments(call: Call) -> bool:
    """Whether the client asks for the data of attachments. Raises InvalidResource for another value."""
    if not of_attachments(call):
        return False
    asked = dict(call.query).get(ATTACHMENTS)
    if asked not in (None, "inline", "url"):
        raise InvalidResource(f"{ATTACHMENTS} must be inline or url", code="value")
    return asked == "inline"


def _is_large(version: Version) -> bool:
    return len(version.content) > LARGE


async def _in_form(call: Call, version: Version, *, status: int = 200, location: str | None = None) -> VersionResponse:
    """Returns the version in the wanted form, which is made in a thread where that takes long."""
    form = call.representation
    if form is AS_STORED or len(version.content) <= LARGE:
        return VersionResponse(version, form, status=status, location=location)
    return await offload(VersionResponse, version, form, status=status, location=location)


async def stored(call: Call, version: Version, *, status: int) -> Response:
    """Returns the answer to a write: where the version is, and as much of it as `Prefer: return=…` asks for.

    https://hl7.org/fhir/R4/http.html#return
    """
    touch(call.scope, (version,))
    end_work(call.scope)
    where = version_url(call, version)
    wish = returned(call)
    response: Response | None = None
    if wish in (None, "representation"):
        try:
            response = await _in_form(call, version, status=status, location=where)
        except (Refused, InvalidResource):
            wish = "minimal"  # it is stored, so it is answered, though it does not have this form
    if response is None:
        response = _brief(call, version, status, where, told=wish == "OperationOutcome")
    return applied(response, "return", wish)


def _brief(call: Call, version: Version, status: int, where: str, *, told: bool) -> Response:
    """Returns an answer without the resource. `told`: with an OperationOutcome that says that it was stored."""
    headers = {
        "ETag": etag(version.version_id),
        "Last-Modified": last_modified(version.last_updated_ms),
        "Location": where,
    }
    if not told:
        return Response(None, status, headers | {"Content-Location": where})
    text = f"Stored as version {version.version_id} of {version.type}/{version.id}"
    outcome = operation_outcome((Issue.information(text),))
    return resource_answer(call, outcome, status=status, headers=headers)


def resource_answer(
    call: Call, content: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Returns the answer that is this resource, made for it and given as JSON, with all its elements."""
    response = Response(call.representation.whole(content), status, headers)
    response.raw_headers.append((b"content-type", call.representation.content_type))
    return response


async def page_answer(call: Call, pieces: list[bytes]) -> Response:
    """Returns the answer that is a Bundle, given as pieces of JSON. Raises Crowded."""
    size = sum(map(len, pieces))
    if size > SMALL:
        share_of(call.scope).take(size)
    if call.representation is AS_STORED:
        return PiecesResponse(pieces, AS_STORED.content_type)
    return await done_answer(call, b"".join(pieces))


async def done_answer(call: Call, content: bytes) -> Response:
    """As `resource_answer`, for content that may be large: its form is made in a thread then."""
    if call.representation is AS_STORED or len(content) < LARGE:
        return resource_answer(call, content)
    return await offload(resource_answer, call, content)


def not_modified(tag: str, last_updated: int | None = None) -> Response:
    """Returns 304 (https://www.rfc-editor.org/rfc/rfc9110#section-15.4.5). `last_updated`: epoch ms."""
    response = Response(None, 304, {"ETag": tag})
    if last_updated is not None:
        response.headers["Last-Modified"] = last_modified(last_updated)
    return response


def version_url(call: Call, version: Version) -> str:
    """Returns the absolute URL of this version."""
    return f"{call.base_url}/{version.type}/{version.id}/_history/{version.version_id}"
