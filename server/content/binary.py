"""Reads of a Binary: a PDF that went in comes out as a PDF, and is a Binary resource in between.

`Accept` decides what a client receives: FHIR's media types mean the resource, unless the content's own type has a
higher quality; anything else (also `*/*`, or no Accept) means the content: "unless specifically requested, the FHIR
XML/JSON representation is not returned". `_format`, `_summary` and the like always mean the resource.
https://hl7.org/fhir/R4/binary.html#rest

The content is base64 in the stored JSON, or lies outside of the resource (`Version.payload`). Either way it is sent in
pieces, whole or a range of it, under a strong ETag, the version id: a version never changes. A resource whose content
lies outside gets it back on the way (`splice`), unless the client asks for parts of the resource.
"""

from __future__ import annotations

import base64
import mimetypes
import re
import string
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import msgspec
from starlette.responses import RedirectResponse, Response

from fhirstore import Payload, Version
from fhirstore.threads import LARGE, offload_if
from server.content.files import HELD, Chunks, File, StreamedAnswer, content_answer
from server.content.media import FHIR_JSON, FHIR_XML, Range, negotiate, ranges
from server.content.splice import around
from server.http.call import Call
from server.http.fields import etag, parameters
from server.http.http_dates import last_modified
from server.http.in_flight import SMALL, share_of

SECURITY_CONTEXT = "X-Security-Context"
OCTETS = "application/octet-stream"
MEDIA_TYPE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*;[ -~]*)?")
REFERENCE = re.compile(r"[!-~]{1,2000}")
FHIR_TYPES = frozenset({FHIR_JSON, FHIR_XML, "application/json+fhir", "application/xml+fhir"})
GENERIC_TYPES = {"application/json": "json", "text/json": "json", "application/xml": "xml", "text/xml": "xml"}
_BLANKS = re.compile(r"\s+")
_ALPHABET = string.ascii_letters.encode() + string.digits.encode() + b"+/"
_PIECE = 256 * 1024  # characters of base64, a multiple of 4
_OCTETS_PIECE = _PIECE // 4 * 3
_ENDINGS = mimetypes.MimeTypes()  # those that Python knows itself, so that all machines have the same


# --- what a client wants ------------------------------------------------------------------------------------


def negotiable(path: str, headers: Mapping[bytes, bytes], release: str) -> Mapping[bytes, bytes]:
    """Returns the headers, without `Accept` where it asks for the content of a Binary and not for a form of FHIR."""
    accept = headers.get(b"accept")
    if accept is None or "/Binary" not in path:
        return headers
    text = accept.decode("latin-1")
    if negotiate(text, release) is not None or _fhir_quality(ranges(text)):
        return headers
    return {name: value for name, value in headers.items() if name != b"accept"}


def wants_native(accept: str | None, content_type: str) -> bool:
    """Whether `Accept` asks for the content, which is of this type, and not for the resource.

    A generic type, `application/json`, means the content if that is JSON, and the resource otherwise.
    """
    found = [] if accept is None else ranges(accept)
    name = parameters(content_type)[0].lower()
    fhir = _fhir_quality(found)
    if fhir:
        return fhir < max(
            (range_.quality for range_ in found if range_.name == name and name not in FHIR_TYPES), default=0.0
        )
    favourite = max(found, key=lambda range_: range_.quality).name if found else ""
    if favourite not in GENERIC_TYPES:
        return True
    kind = GENERIC_TYPES[favourite]
    return name.endswith(f"+{kind}") or GENERIC_TYPES.get(name) == kind


def _fhir_quality(found: Iterable[Range]) -> float:
    """Returns the highest quality of FHIR's media types among the ranges; 0 without one."""
    return max((range_.quality for range_ in found if range_.name in FHIR_TYPES), default=0.0)


# --- reading --------------------------------------------------------------------------------------------------


async def make_room(call: Call) -> None:
    """Waits until there is room for the longest Binary. Called before one is read, whose size is not known yet.

    It limits how many are read at once, and so are in memory before they count as bytes in flight. Raises Crowded.
    """
    await share_of(call.scope).wait_and_take(_longest(call))


def made_room(call: Call, version: Version) -> None:
    """Gives back the room that the Binary, which is read now, does not take; content outside takes `HELD`."""
    share = share_of(call.scope)
    kept = len(version.content) + (0 if version.payload is None else HELD)
    share.give(max(0, share.held - kept))


def _longest(call: Call) -> int:
    return call.settings.max_body // 3 * 4 + SMALL


@dataclass(frozen=True, slots=True)
class Native:
    """The content of a Binary, to be sent in its own type. `source`: where it lies: base64, or a payload outside."""

    version: Version
    content_type: str
    context: str | None
    source: memoryview | Payload

    @property
    def tag(self) -> str:
        """The strong ETag of the content."""
        return f'"{self.version.version_id}"'

    @property
    def size(self) -> int:
        """Bytes of the content."""
        if isinstance(self.source, Payload):
            return self.source.size
        return len(self.source) // 4 * 3 - bytes(self.source[-2:]).count(b"=")

    async def answer(self, call: Call) -> Response:
        """Returns 200 or 206 with the content, or 307 to the bucket. Raises as `content_answer`."""
        source, version = self.source, self.version
        ending = _ENDINGS.guess_extension(parameters(self.content_type)[0].lower()) or ""
        name = f"Binary-{version.id}{ending}"
        if isinstance(source, Payload) and call.settings.binary_urls == "presigned" and call.scope["method"] == "GET":
            return await _redirect(call, source, name, self.content_type)
        headers = {"Last-Modified": last_modified(version.last_updated_ms)}
        if self.context is not None:
            headers[SECURITY_CONTEXT] = self.context
        sha256 = source.sha256 if isinstance(source, Payload) else None
        tag = str(version.version_id)
        file = File(self.size, self.content_type, tag, name=name, versioned=True, sha256=sha256)

        @asynccontextmanager
        async def opened(start: int, end: int | None) -> AsyncIterator[Chunks]:
            if isinstance(source, Payload):
                async with call.tenant.payloads.open(source, start=start, end=end) as chunks:
                    yield chunks
            else:
                yield _decoded(source, start, self.size if end is None else end)

        return await content_answer(call, file, opened, more_headers=headers)


def native(call: Call, version: Version) -> Native | None:
    """Returns the content of a Binary; None where the client asks for the resource."""
    form = call.representation
    if b"_format=" in call.scope["query_string"] or form.pretty or not form.view.whole:
        return None
    resource = _decode(version.content)
    content_type = resource.content_type
    if not isinstance(content_type, str) or not MEDIA_TYPE.fullmatch(content_type):
        content_type = OCTETS
    if not wants_native(call.header(b"accept"), content_type):
        return None
    source = version.payload or _base64(resource.data)
    if source is None:
        return None  # data that is not base64 can be shown in the resource only
    context = resource.security_context
    reference = context.get("reference") if isinstance(context, dict) else None
    shown = reference if isinstance(reference, str) and REFERENCE.fullmatch(reference) else None
    return Native(version, content_type, shown, source)


async def _redirect(call: Call, payload: Payload, name: str, content_type: str) -> Response:
    """Returns 307 to a URL of the bucket, which has the same content, type and name.

    The URL is a secret that ends soon, so nobody may keep the answer.
    """
    seconds = call.settings.export_url_expiry
    url = await call.tenant.payloads.presigned_get(
        payload, expires_in=seconds, filename=name, content_type=content_type
    )
    return RedirectResponse(url, 307)


async def filled_answer(call: Call, version: Version, payload: Payload) -> Response:
    """Returns the answer with the whole resource, in the wanted form, its content put back."""
    form = call.representation
    whole = await offload_if(len(version.content) > LARGE, around, version.content, form.resource)
    headers = {
        "ETag": etag(version.version_id),
        "Last-Modified": last_modified(version.last_updated_ms),
        "Content-Type": form.content_type.decode("ascii"),
        "Content-Length": str(whole.length(payload.size)),
    }
    if call.scope["method"] == "HEAD":
        return Response(None, 200, headers)
    stack = AsyncExitStack()
    chunks = await stack.enter_async_context(call.tenant.payloads.open(payload))
    return StreamedAnswer(call, whole.filled(aiter(chunks)), stack, 200, headers)


class _Binary(msgspec.Struct, rename="camel"):
    """The elements of a stored Binary; `data` is not copied from the bytes of the resource."""

    content_type: object = None
    security_context: object = None
    data: msgspec.Raw = msgspec.Raw(b'""')


_decode = msgspec.json.Decoder(_Binary).decode


def _base64(data: msgspec.Raw) -> memoryview | None:
    """Returns the base64 in a JSON string without blanks, copied only if it has some; None if it is not base64."""
    view = memoryview(data)[1:-1]
    if not _is_base64(view):
        text = msgspec.json.decode(data)
        view = memoryview(_BLANKS.sub("", text).encode("ascii", "replace") if isinstance(text, str) else b"?")
        if not _is_base64(view):
            return None
    return view


def _is_base64(view: memoryview) -> bool:
    if len(view) % 4:
        return False
    body = len(view) - bytes(view[-2:]).count(b"=")
    return not any(
        bytes(view[start : min(start + _PIECE, body)]).translate(None, _ALPHABET) for start in range(0, body, _PIECE)
    )


async def _decoded(data: memoryview, start: int, end: int) -> AsyncIterator[bytes]:
    """Yields bytes [start, end) of what the base64 stands for."""
    first = start // 3 * 3
    for offset in range(first, end, _OCTETS_PIECE):
        piece = base64.b64decode(data[offset // 3 * 4 : offset // 3 * 4 + _PIECE])
        low, high = max(0, start - offset), min(len(piece), end - offset)
        yield piece if (low, high) == (0, len(piece)) else piece[low:high]
