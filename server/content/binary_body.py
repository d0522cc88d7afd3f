"""Writes of a Binary: its content in its own type, or the resource.

What a client sends is content, "including when the content type is application/fhir+xml or application/fhir+json,
except for the special case where the content is actually a Binary resource". https://hl7.org/fhir/R4/binary.html#rest

Content above `Settings.inline_bytes` goes to the store as it arrives, and is never in memory as a whole; it may have
`Settings.max_binary` bytes. A body of a JSON or XML type must be looked at, since it may be a Binary resource, so it
has the limit of all bodies (`Settings.max_body`), as have writes on criteria.
"""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from io import BytesIO

import msgspec
from starlette.exceptions import HTTPException

from fhirstore import Payload
from fhirstore.errors import FhirStoreError, InvalidResource, PayloadMismatch
from fhirstore.threads import LARGE, offload_if
from server.content.arriving import Arriving
from server.content.binary import FHIR_TYPES, GENERIC_TYPES, MEDIA_TYPE, OCTETS, REFERENCE, SECURITY_CONTEXT
from server.content.body import as_json, no_body, raw_body, resource_body
from server.content.forms import without_mark
from server.content.media import FHIR_XML
from server.content.representation import AS_STORED
from server.content.room import Room
from server.http.call import Call
from server.http.digests import other_digest
from server.http.fields import parameters
from server.http.in_flight import share_of
from server.http.refusal import Refused
from server.http.unread import Unread

_CONTEXT_HEADER = SECURITY_CONTEXT.lower().encode("ascii")
_FHIR_XML = frozenset({FHIR_XML, "application/xml+fhir"})
_XML_BINARY = re.compile(rb"(?:\xef\xbb\xbf)?(?:\s|<\?.*?\?>|<!--.*?-->)*+<(?:[\w.-]++:)?Binary[\s/>]", re.DOTALL)
_BLANKS = re.compile(r"\s+")
_OCTETS_PIECE = 192 * 1024  # bytes that are encoded at once, a multiple of 3


@dataclass(frozen=True, slots=True)
class Received:
    """A Binary resource without its data, as JSON, and where its content lies."""

    resource: bytes
    payload: Payload


async def written(call: Call) -> bytes:
    """Returns the resource in the body of a write, as JSON; for the type Binary, also one made of the content.

    Raises as `resource_body`.
    """
    if call.representation is not AS_STORED:
        call.representation.check_resource()
    if call.parameters.get("type") != "Binary":
        return await resource_body(call)
    content_type = call.header(b"content-type") or OCTETS
    name = _name(content_type)
    context, body = _context(call), await raw_body(call)
    large = len(body) > LARGE
    if _may_be_a_resource(name) and await offload_if(large, _is_binary, body, name):
        if context is not None:
            raise InvalidResource(
                f"{SECURITY_CONTEXT} goes with raw content; a Binary resource has its securityContext"
            )
        return await as_json(call, body)
    return await offload_if(large, from_native, body, content_type, id=call.parameters.get("id"), context=context)


def is_streamed(call: Call) -> bool:
    """Whether the body is the content of a Binary that is, or may be, too long to be held: `received` takes it."""
    headers = call.headers
    if call.type != "Binary" or _may_be_a_resource(_name(call.header(b"content-type") or OCTETS)):
        return False
    length = headers.get(b"content-length", b"")
    return b"content-encoding" in headers or not length.isdigit() or int(length) > _inline(call)


async def received(call: Call) -> bytes | Received:
    """Returns the Binary made of the content in the body, which is in the store then; short content is in the resource.

    What is in the store is not visible before a resource refers to it. Where the client stops sending, or the body is
    refused, nothing of it stays. Raises Refused (400: another digest; 415), ContentTooLarge, InvalidResource,
    MalformedContent, Crowded, StoreFull; Unread around any of these, where the client may still be sending.
    """
    body: Arriving | None = None
    try:
        call.representation.check_resource()
        content_type = call.header(b"content-type") or OCTETS
        context, id_ = _context(call), call.parameters.get("id")
        resource = _head(content_type, id=id_, context=context)
        body = Arriving(call, most=call.settings.max_binary, setting="FHIRSTORE_MAX_BINARY_BYTES")
        async with aclosing(body.pieces()) as pieces:
            begun = await _begun(call, pieces) if body.size is None else []
            if body.size is not None or not body.ended:
                return Received(resource, await _stored(call, body, begun, pieces, content_type))
        return await offload_if(True, from_native, b"".join(begun), content_type, id=id_, context=context)
    except (HTTPException, FhirStoreError) as error:
        if body is None or not body.ended:
            raise Unread(error) from error
        raise


async def _begun(call: Call, pieces: AsyncIterator[bytes]) -> list[bytes]:
    """Returns the first pieces of a body of unknown length: all, if it is short. Raises InvalidResource, Crowded."""
    begun: list[bytes] = []
    size, share = 0, share_of(call.scope)
    async for piece in pieces:
        begun.append(piece)
        size += len(piece)
        share.take(len(piece))
        if size > _inline(call):
            share.give(size)
            return begun
    if not size:
        raise no_body()
    await share.begin_work()
    return begun


async def _stored(
    call: Call, body: Arriving, begun: list[bytes], pieces: AsyncIterator[bytes], content_type: str
) -> Payload:
    payloads = call.tenant.payloads
    room = Room(share_of(call.scope), payloads.held if body.size is None else min(body.size, payloads.held))
    try:
        return await payloads.receive(
            room.taken(_all(begun, pieces)),
            content_type=content_type,
            most=call.settings.max_binary,
            size=body.size,
            sha256=body.sha256,
            progress=room.sent,
        )
    except PayloadMismatch as error:
        raise other_digest() from error
    finally:
        room.end()


async def _all(begun: list[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    while begun:
        yield begun.pop(0)
    async for piece in rest:
        yield piece


def from_native(body: bytes, content_type: str, *, id: str | None = None, context: str | None = None) -> bytes:
    """Returns a Binary resource, as JSON, that holds `body`. `context`: the reference of its securityContext.

    Raises Refused (415) for a malformed media type.
    """
    resource = BytesIO()  # returns its bytes without a copy
    resource.write(_head(content_type, id=id, context=context)[:-1] + b',"data":"')
    for start in range(0, len(body), _OCTETS_PIECE):
        resource.write(base64.b64encode(memoryview(body)[start : start + _OCTETS_PIECE]))
    resource.write(b'"}')
    return resource.getvalue()


def _head(content_type: str, *, id: str | None, context: str | None) -> bytes:
    """Returns the Binary without its data. Raises as `from_native`."""
    content_type = content_type.strip()
    if not MEDIA_TYPE.fullmatch(content_type):
        raise Refused(415, "The Content-Type is no media type; it becomes the Binary's contentType")
    head: dict[str, object] = {"resourceType": "Binary"}
    if id is not None:
        head["id"] = id
    head["contentType"] = _BLANKS.sub(" ", content_type)
    if context is not None:
        head["securityContext"] = {"reference": context}
    return msgspec.json.encode(head)


def _name(content_type: str) -> str:
    return parameters(content_type)[0].lower()


def _may_be_a_resource(name: str) -> bool:
    return name in FHIR_TYPES or name in GENERIC_TYPES


def _inline(call: Call) -> int:
    """Bytes of content up to which it stays in the resource."""
    return min(call.settings.inline_bytes, call.settings.max_body // 4 * 3)


def _is_binary(body: bytes, name: str) -> bool:
    """Whether a body of a JSON or XML type is a Binary. True also for malformed FHIR JSON: its reader refuses it."""
    if name in _FHIR_XML or GENERIC_TYPES.get(name) == "xml":
        return _XML_BINARY.match(body) is not None
    if b"resourceType" not in body and name in GENERIC_TYPES:
        return False
    try:
        resource = msgspec.json.decode(without_mark(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return name in FHIR_TYPES
    return isinstance(resource, dict) and resource.get("resourceType") == "Binary"


def _context(call: Call) -> str | None:
    context = call.header(_CONTEXT_HEADER)
    if context is not None and not REFERENCE.fullmatch(context):
        raise InvalidResource(f"{SECURITY_CONTEXT} must be a reference, like Patient/123", code="value")
    return context
