"""Request bodies: of a known type, within the limit (`Settings.max_body`), decompressed, as JSON bytes.

https://hl7.org/fhir/R4/http.html#mime-type
"""

from __future__ import annotations

from io import BytesIO

from starlette.requests import ClientDisconnect

from fhirstore import parse_query
from fhirstore.errors import ContentTooLarge, InvalidResource
from fhirstore.threads import LARGE, in_thread, offload_if
from server.content.inflate import Inflater, TooMuch, inflater
from server.content.media import MediaType, announced, is_utf8
from server.http.call import Call
from server.http.digests import BodyDigest, asked_digest
from server.http.fields import parameters
from server.http.in_flight import SMALL, share_of
from server.http.refusal import Refused

_PLAIN = frozenset(
    {b"application/fhir+json", b"application/json", b"application/fhir+json; charset=utf-8", b"text/json"}
)
_FORM = "application/x-www-form-urlencoded"
NOT_A_FORM = f"A search takes its parameters from the URL or from a body of {_FORM}, in UTF-8"
_MOST_FORM = 64 * 1024  # bytes: as a URL may have


async def resource_body(call: Call) -> bytes:
    """Returns the resource in the body as JSON; XML is converted.

    Raises Refused (415), ContentTooLarge, InvalidResource (no body), MalformedContent (neither JSON nor XML).
    """
    if call.headers.get(b"content-type", b"") not in _PLAIN:
        _announced(call)  # a Content-Type that is not known is refused before the body is read
    return await as_json(call, await raw_body(call))


async def as_json(call: Call, body: bytes) -> bytes:
    """Converts a resource's bytes, in the form that the Content-Type says, to JSON. Raises as `resource_body`."""
    if call.headers.get(b"content-type", b"") in _PLAIN or not _announced(call).xml:
        return body
    return await offload_if(len(body) > LARGE, call.store.from_xml, body)


def _announced(call: Call) -> MediaType:
    media = announced(call.header(b"content-type") or "", call.store.release)
    if isinstance(media, str):
        raise Refused(415, media)
    return media


async def form_body(call: Call) -> list[tuple[str, str]]:
    """Returns the fields of an HTML form, in order; none without a body. Raises as `resource_body`."""
    name, given = parameters(call.header(b"content-type") or "")
    body = await raw_body(call, required=False, most=_MOST_FORM)
    if not body:
        return []
    if name.lower() != _FORM or not is_utf8(given):
        raise Refused(415, NOT_A_FORM)
    return parse_query(body)


async def raw_body(call: Call, *, required: bool = True, most: int | None = None) -> bytes:
    """Returns the bytes of the body, decompressed. They count as bytes in flight as they arrive.

    `required`: an empty body is refused. `most`: a lower limit than that of all bodies, in bytes.

    Raises ContentTooLarge, MalformedContent, Refused (415; 400: another digest than the client said), Crowded,
    InvalidResource.
    """
    limit = min(call.settings.max_body, most or call.settings.max_body)
    coding = call.headers.get(b"content-encoding")
    unpack = None if coding is None else inflater(coding.decode("latin-1"), limit)
    digest = BodyDigest(asked_digest(call.headers))
    _expect(call, call.headers.get(b"content-length", b""))
    whole: BytesIO | None = None  # returns its bytes without a copy
    size = held = 0
    more = True
    while more:
        message = await call.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        digest.add(chunk)
        if unpack is not None:
            chunk = await in_thread(_unpacked, unpack, chunk, limit)  # a few bytes may decompress to megabytes
        more = message.get("more_body", False)
        if more:
            call.process.extend_deadline()
            whole = whole or BytesIO()
        if whole is not None:
            whole.write(chunk)
        arrived = len(chunk) if whole is None else whole.tell()
        if arrived > SMALL:
            share_of(call.scope).take(arrived - held)
            held = arrived
    if not size:
        if required:
            raise no_body()
        return b""
    if unpack is not None:
        unpack.end()
    digest.end()
    if held:
        await share_of(call.scope).begin_work()
    return chunk if whole is None else whole.getvalue()


def no_body() -> InvalidResource:
    """Returns the refusal of a request without a body."""
    return InvalidResource("The request has no body; send the resource", code="required")


def _unpacked(unpack: Inflater, chunk: bytes, limit: int) -> bytes:
    """Returns the next piece of the body, decompressed. Raises ContentTooLarge, MalformedContent."""
    try:
        return unpack.feed(chunk)
    except TooMuch:
        raise _too_large(limit) from None


def _expect(call: Call, length: bytes) -> None:
    """Raises ContentTooLarge, Crowded where a body of this Content-Length cannot be taken, before it is sent."""
    if length.isdigit() and int(length) > SMALL:
        if int(length) > call.settings.max_body:
            raise _too_large(call.settings.max_body)
        share_of(call.scope).expect(int(length))


def _too_large(limit: int) -> ContentTooLarge:
    if limit == _MOST_FORM:
        return ContentTooLarge(f"A form of a search may have {limit:,} bytes; ask for less at a time")
    return ContentTooLarge(f"The body is over the limit of {limit:,} bytes (FHIRSTORE_MAX_BODY_BYTES)")
