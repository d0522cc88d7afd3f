"""The Bundle that answers a batch or a transaction, put together from stored bytes: nothing is encoded again.

One entry for each entry of the request, in its order: `response` with the status, location, ETag and time of the
interaction; the resource where it was read, or where `Prefer: return=representation` asks for it. Without a
preference a write is answered by `response` alone.

https://hl7.org/fhir/R4/http.html#transaction-response · https://hl7.org/fhir/R4/bundle-definitions.html#Bundle.entry.response
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from fhirstore import BundleResult, EntryResult, Version, instant
from fhirstore.errors import Issue
from fhirstore.threads import offload_if
from server.content.representation import AS_STORED
from server.http.answers import done_answer
from server.http.call import Call
from server.http.fields import etag
from server.http.in_flight import SMALL, end_work, share_of
from server.http.outcome import error_answer, operation_outcome
from server.http.prefer import applied, returned
from server.http.refusal import Refused

_encode = msgspec.json.Encoder().encode
_FEW = 32  # entries whose answers are written in no time
_PIECE = 1 << 16  # bytes that go out at once, at least, while there are more


async def bundle_response(call: Call, result: BundleResult) -> Response:
    """The answer to the Bundle that `call` brought."""
    end_work(call.scope)
    long = len(result.results) > _FEW or call.representation is not AS_STORED
    pieces, wish = await offload_if(long, lambda: list(_bundle(call, result))), returned(call)
    if (size := sum(map(len, pieces))) > SMALL:
        share_of(call.scope).owe(size)
    response: Response = PiecesResponse(pieces, AS_STORED.content_type)
    if call.representation is not AS_STORED:
        with suppress(Refused):  # it is done, so it is answered: as JSON where a resource in it has no XML
            response = await done_answer(call, b"".join(pieces))
    return applied(response, "return", wish)


class PiecesResponse(Response):
    """A body that is sent piece by piece, so that it is never in memory a second time."""

    def __init__(self, pieces: list[bytes], content_type: bytes) -> None:
        super().__init__(None, 200)
        self._pieces = pieces
        size = sum(len(piece) for piece in pieces)
        self.raw_headers = [(b"content-type", content_type), (b"content-length", b"%d" % size)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        waiting: list[bytes] = []
        size = 0
        for piece in self._pieces:
            waiting.append(piece)
            size += len(piece)
            if size >= _PIECE:
                await send({"type": "http.response.body", "body": b"".join(waiting), "more_body": True})
                waiting, size = [], 0
        await send({"type": "http.response.body", "body": b"".join(waiting)})


def _bundle(call: Call, result: BundleResult) -> Iterator[bytes]:
    yield b'{"resourceType":"Bundle","type":"%s-response"' % result.kind.encode("ascii")
    wish, base_url = returned(call), call.base_url
    separator = b',"entry":['
    for one in result.results:
        yield separator
        yield from _entry(call, one, wish, base_url)
        separator = b","
    yield b"]}" if result.results else b"}"


def _entry(call: Call, one: EntryResult, wish: str | None, base_url: str) -> Iterator[bytes]:
    version, entry = one.version, one.entry
    if one.error is not None or entry is None:
        yield from _failed(call, one)
        return
    status = _status(one)
    response: dict[str, object] = {"status": f"{status} {HTTPStatus(status).phrase}"}
    if version is not None:
        if entry.writes and not version.deleted:
            response["location"] = f"{version.type}/{version.id}/_history/{version.version_id}"
        response["etag"] = etag(version.version_id)
        response["lastModified"] = instant(version.last_updated_ms)
    shown = wish == "representation" if entry.writes else entry.method != "HEAD" and not one.not_modified
    if shown and version is not None and not version.deleted:
        url = _encode(f"{base_url}/{version.type}/{version.id}")
        yield b'{"fullUrl":%s,"resource":' % url
        yield call.representation.entry(version.content) if one.content is None else one.content
        yield b',"response":'
    elif shown and one.content is not None:
        yield b'{"resource":'
        yield one.content
        yield b',"response":'
    else:
        yield b'{"response":'
    encoded = _encode(response)
    if wish == "OperationOutcome" and entry.writes:
        yield encoded[:-1] + b',"outcome":' + operation_outcome((_told(version, one.deleted),)) + b"}"
    else:
        yield encoded
    yield b"}"


def _failed(call: Call, one: EntryResult) -> Iterator[bytes]:
    assert one.error is not None  # noqa: S101 - an entry that was not read is one that failed
    answer = error_answer(one.error)
    if answer.status_code >= 500:
        call.failed(answer.status_code, one.error)
    head: dict[str, object] = {"status": f"{answer.status_code} {HTTPStatus(answer.status_code).phrase}"}
    if "etag" in answer.headers:
        head["etag"] = answer.headers["etag"]
    yield b'{"response":' + _encode(head)[:-1] + b',"outcome":' + bytes(answer.body) + b"}}"


def _status(one: EntryResult) -> int:
    assert one.entry is not None  # noqa: S101 - see above
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
