"""The content of uploads that comes through this server: a part of one in parts, or all of it with a ticket.

A ticket is what $presign-upload gave the client on a store without URLs of its own; whoever has it may send this one
content, as with a presigned request to S3. Nothing is held whole but a part, whose size is bounded.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from io import BytesIO

from starlette.exceptions import HTTPException
from starlette.responses import Response

from fhirstore import Ticket
from fhirstore.errors import ContentTooLarge, FhirStoreError, InvalidResource
from server.content.arriving import Arriving
from server.content.room import Room
from server.http.call import Call
from server.http.fields import parameters
from server.http.in_flight import share_of
from server.http.refusal import Refused
from server.http.unread import Unread, before_body
from server.operations.uploads.form import FormBody, boundary_of
from server.operations.uploads.urls import asked_id

_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_FORM_ITSELF = 1024 * 1024  # bytes of fields and boundaries, at most
_PROMISED = "as promised at the begin of the upload"


async def put_part(call: Call) -> Response:
    """PUT [base]/_upload/[id] with Content-Range: 204 once the store has the part, which may be sent again.

    Raises InvalidResource (no part begins or ends there, or the body is shorter), UploadConflict, UploadGone, NotFound.
    """
    uploads = call.tenant.uploads
    with before_body():
        start, end, total = _asked_range(call)
        upload, number = await uploads.open_part(asked_id(call), start, end, total)
        size = end - start
        arriving = Arriving(call, most=size, setting="Content-Range")
        room = Room(share_of(call.scope), size, first=size)
    body = BytesIO()  # returns its bytes without a copy
    async for piece in room.taken(arriving.pieces()):
        body.write(piece)
    if body.tell() != size:
        raise InvalidResource(f"The body has {body.tell():,} bytes, and its Content-Range {size:,}", code="value")
    await uploads.put_part(upload, number, body.getvalue())
    return Response(None, 204, {"Content-Range": f"bytes {start}-{end - 1}/{upload.most}"})


async def put_content(call: Call) -> Response:
    """PUT [base]/_upload/[id]/content?…: 204 once it is received. Raises TicketRefused, Refused (415), and as below."""
    with before_body():
        ticket = await call.tenant.uploads.admitted(asked_id(call), dict(call.query))
        if ticket.method != "put":
            raise Refused(405, "This upload is sent as a form", headers={"Allow": "POST"})
        if _type(call.header(b"content-type") or "") != _type(ticket.content_type):
            raise Refused(415, f"The Content-Type must be {ticket.content_type}, {_PROMISED}")
        arriving = Arriving(call, most=ticket.most, setting=_PROMISED)
    return await _taken(call, ticket, arriving, arriving.pieces())


async def post_content(call: Call) -> Response:
    """POST [base]/_upload/[id]/content, a form: the fields that were given, then `file`. 204 once it is received.

    Raises TicketRefused, ContentTooLarge, PayloadMismatch, UploadConflict (there is content already), UploadGone.
    """
    with before_body():
        boundary = boundary_of(call.header(b"content-type"))
        most = call.settings.max_binary + _FORM_ITSELF
        arriving = Arriving(call, most=most, setting="FHIRSTORE_MAX_BINARY_BYTES")
    form = FormBody(arriving.pieces(), boundary)
    with before_body():
        ticket = await call.tenant.uploads.admitted(asked_id(call), await form.fields())
        if ticket.method != "post":
            raise Refused(405, "This upload is sent by PUT", headers={"Allow": "PUT"})
        if arriving.size is not None and arriving.size > ticket.most + _FORM_ITSELF:
            raise ContentTooLarge(f"The content may have {ticket.most:,} bytes, {_PROMISED}")
    return await _taken(call, ticket, arriving, form.content())


async def _taken(call: Call, ticket: Ticket, arriving: Arriving, pieces: AsyncIterator[bytes]) -> Response:
    """Receives the content; what of it is in memory counts as in flight. Returns the answer. Raises as `receive`."""
    room = Room(share_of(call.scope), min(call.tenant.payloads.held, ticket.most))
    try:
        try:
            upload = await call.tenant.uploads.receive(ticket, room.taken(pieces), progress=room.sent)
        finally:
            room.end()
    except (HTTPException, FhirStoreError) as error:
        if not arriving.ended:
            raise Unread(error) from error
        raise
    tag = upload.found[1] if upload.found is not None else ""
    return Response(None, 204, {"ETag": f'"{tag}"'})


def _type(text: str) -> str:
    """Returns a media type in the form in which two are compared."""
    name, given = parameters(text)
    return ";".join([name.lower(), *(f"{key.lower()}={value}" for key, value in given.items())])


def _asked_range(call: Call) -> tuple[int, int, int | None]:
    """Returns start, end (exclusive) and total of a part. Raises InvalidResource."""
    found = _RANGE.fullmatch((call.header(b"content-range") or "").strip())
    if found is None or int(found[2]) < int(found[1]):
        raise InvalidResource("Say which part it is: Content-Range: bytes START-END/TOTAL", code="required")
    return int(found[1]), int(found[2]) + 1, None if found[3] == "*" else int(found[3])
