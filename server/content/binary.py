"""Binary in its own content type: a PDF goes in and comes out as a PDF, and is a Binary resource in between.

`Accept` decides what a client receives: FHIR's media types mean the resource, unless the content's own type has a
higher quality; anything else (also `*/*`, or no Accept) means the content: "unless specifically requested, the FHIR
XML/JSON representation is not returned". `_format`, `_summary` and the like always mean the resource. What a client
sends is content, "including when the content type is application/fhir+xml or application/fhir+json, except for the
special case where the content is actually a Binary resource". https://hl7.org/fhir/R4/binary.html#rest

The content is base64 in the stored JSON, so `Settings.max_body` limits it.
"""

from __future__ import annotations

import base64
import re
import string
from collections.abc import AsyncIterator, Iterable, Mapping
from io import BytesIO

import msgspec
from starlette.responses import Response, StreamingResponse

from fhirstore import Version
from fhirstore.errors import InvalidResource
from fhirstore.threads import LARGE, offload_if
from server.content.body import as_json, raw_body, resource_body
from server.content.forms import without_mark
from server.content.media import FHIR_JSON, FHIR_XML, Range, negotiate, ranges
from server.content.representation import AS_STORED
from server.http.call import Call
from server.http.fields import etag, parameters
from server.http.http_dates import last_modified
from server.http.in_flight import SMALL, share_of
from server.http.refusal import Refused

SECURITY_CONTEXT = "X-Security-Context"

_CONTEXT_HEADER = SECURITY_CONTEXT.lower().encode("ascii")
_OCTETS = "application/octet-stream"
_FHIR = frozenset({FHIR_JSON, FHIR_XML, "application/json+fhir", "application/xml+fhir"})
_FHIR_XML = frozenset({FHIR_XML, "application/xml+fhir"})
_GENERIC = {"application/json": "json", "text/json": "json", "application/xml": "xml", "text/xml": "xml"}
_MEDIA_TYPE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*;[ -~]*)?")
_REFERENCE = re.compile(r"[!-~]{1,2000}")
_ACTIVE = re.compile(r"html|svg|xml|javascript|ecmascript", re.IGNORECASE)
_XML_BINARY = re.compile(rb"(?:\xef\xbb\xbf)?(?:\s|<\?.*?\?>|<!--.*?-->)*+<(?:[\w.-]++:)?Binary[\s/>]", re.DOTALL)
_BLANKS = re.compile(r"\s+")
_ALPHABET = string.ascii_letters.encode() + string.digits.encode() + b"+/"
_PIECE = 256 * 1024  # characters of base64, a multiple of 4
_OCTETS_PIECE = _PIECE // 4 * 3


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
            (range_.quality for range_ in found if range_.name == name and name not in _FHIR), default=0.0
        )
    favourite = max(found, key=lambda range_: range_.quality).name if found else ""
    if favourite not in _GENERIC:
        return True
    kind = _GENERIC[favourite]
    return name.endswith(f"+{kind}") or _GENERIC.get(name) == kind


def _fhir_quality(found: Iterable[Range]) -> float:
    """Returns the highest quality of FHIR's media types among the ranges; 0 without one."""
    return max((range_.quality for range_ in found if range_.name in _FHIR), default=0.0)


# --- reading --------------------------------------------------------------------------------------------------


async def make_room(call: Call) -> None:
    """Waits until there is room for the longest Binary. Called before one is read, whose size is not known yet.

    It limits how many are read at once, and so are in memory before they count as bytes in flight. Raises Crowded.
    """
    await share_of(call.scope).wait_and_take(_longest(call))


def made_room(call: Call, version: Version) -> None:
    """Gives back the room that the Binary, which is read now, does not take."""
    share = share_of(call.scope)
    share.give(max(0, share.held - len(version.content)))


def _longest(call: Call) -> int:
    return call.settings.max_body // 3 * 4 + SMALL


def native_response(call: Call, version: Version) -> Response | None:
    """Returns the answer with the content of a Binary; None where the client asks for the resource."""
    form = call.representation
    if b"_format=" in call.scope["query_string"] or form.pretty or not form.view.whole:
        return None
    resource = _decode(version.content)
    content_type = resource.content_type
    if not isinstance(content_type, str) or not _MEDIA_TYPE.fullmatch(content_type):
        content_type = _OCTETS
    if not wants_native(call.header(b"accept"), content_type):
        return None
    data = _base64(resource.data)
    if data is None:
        return None  # data that is not base64 can be shown in the resource only
    headers = {
        "ETag": etag(version.version_id),
        "Last-Modified": last_modified(version.last_updated_ms),
        "Content-Type": content_type,
        "Content-Length": str(len(data) // 4 * 3 - bytes(data[-2:]).count(b"=")),
        "X-Content-Type-Options": "nosniff",  # browsers must not guess another type
    }
    context = resource.security_context
    reference = context.get("reference") if isinstance(context, dict) else None
    if isinstance(reference, str) and _REFERENCE.fullmatch(reference):
        headers[SECURITY_CONTEXT] = reference
    if _ACTIVE.search(content_type):
        headers["Content-Security-Policy"] = (
            "sandbox"  # a stored page must not run with the rights of this server's origin
        )
    if len(data) <= _PIECE:
        return Response(base64.b64decode(data), 200, headers)
    return StreamingResponse(_decoded(data), 200, headers)


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


async def _decoded(data: memoryview) -> AsyncIterator[bytes]:
    for start in range(0, len(data), _PIECE):
        yield base64.b64decode(data[start : start + _PIECE])


# --- writing --------------------------------------------------------------------------------------------------


async def written(call: Call) -> bytes:
    """Returns the resource in the body of a write, as JSON; for the type Binary, also one made of the content.

    Raises as `resource_body`.
    """
    if call.representation is not AS_STORED:
        call.representation.check_resource()
    if call.parameters.get("type") != "Binary":
        return await resource_body(call)
    content_type = call.header(b"content-type") or _OCTETS
    name = parameters(content_type)[0].lower()
    context, body = _context(call), await raw_body(call)
    large = len(body) > LARGE
    if (name in _FHIR or name in _GENERIC) and await offload_if(large, _is_binary, body, name):
        if context is not None:
            raise InvalidResource(
                f"{SECURITY_CONTEXT} goes with raw content; a Binary resource has its securityContext"
            )
        return await as_json(call, body)
    return await offload_if(large, from_native, body, content_type, id=call.parameters.get("id"), context=context)


def from_native(body: bytes, content_type: str, *, id: str | None = None, context: str | None = None) -> bytes:
    """Returns a Binary resource, as JSON, that holds `body`. `context`: the reference of its securityContext.

    Raises Refused (415) for a malformed media type.
    """
    content_type = content_type.strip()
    if not _MEDIA_TYPE.fullmatch(content_type):
        raise Refused(415, "The Content-Type is no media type; it becomes the Binary's contentType")
    head: dict[str, object] = {"resourceType": "Binary"}
    if id is not None:
        head["id"] = id
    head["contentType"] = _BLANKS.sub(" ", content_type)
    if context is not None:
        head["securityContext"] = {"reference": context}
    resource = BytesIO()  # returns its bytes without a copy
    resource.write(msgspec.json.encode(head)[:-1] + b',"data":"')
    for start in range(0, len(body), _OCTETS_PIECE):
        resource.write(base64.b64encode(memoryview(body)[start : start + _OCTETS_PIECE]))
    resource.write(b'"}')
    return resource.getvalue()


def _is_binary(body: bytes, name: str) -> bool:
    """Whether a body of a JSON or XML type is a Binary. True also for malformed FHIR JSON: its reader refuses it."""
    if name in _FHIR_XML or _GENERIC.get(name) == "xml":
        return _XML_BINARY.match(body) is not None
    if b"resourceType" not in body and name in _GENERIC:
        return False
    try:
        resource = msgspec.json.decode(without_mark(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return name in _FHIR
    return isinstance(resource, dict) and resource.get("resourceType") == "Binary"


def _context(call: Call) -> str | None:
    context = call.header(_CONTEXT_HEADER)
    if context is not None and not _REFERENCE.fullmatch(context):
        raise InvalidResource(f"{SECURITY_CONTEXT} must be a reference, like Patient/123", code="value")
    return context
