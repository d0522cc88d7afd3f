"""A file of the store as an answer: streamed, whole or in part, compressed on its way where the client accepts that.

Its ETag is strong, so that a client may go on with a download that was cut (Range with If-Range). Compressed on its
way it is another representation, with another ETag and without Range: a part of compressed bytes could not be made
again. https://www.rfc-editor.org/rfc/rfc9110#section-8.8.3

Memory: a chunk of the store and what waits in the connection, whatever the size.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from fhirstore import entity_tags
from fhirstore.errors import FhirStoreError
from server.content.compress import coding_for, is_compressible
from server.http.byte_range import OutOfRange, asked_range
from server.http.call import Call
from server.http.http_dates import http_date
from server.http.in_flight import share_of
from server.http.refusal import Refused

_HELD = 1024 * 1024  # bytes that count as in flight for each download


@dataclass(frozen=True, slots=True)
class Download:
    """A file that never changes. `size`: bytes. `digest`: of its content, for the ETag. `modified`: epoch ms, or None.

    `open`: reads bytes [start, end); it raises on entering where the file is gone.
    """

    size: int
    digest: str
    content_type: str
    open: Callable[[int, int], AbstractAsyncContextManager[AsyncIterable[bytes]]]
    modified: int | None = None


async def download(call: Call, file: Download) -> Response:
    """Returns the answer to a GET or HEAD of this file: 200, 206, or 304 where the client has it.

    Raises Refused (416: nothing lies in the range), Crowded, and what `open` raises.
    """
    is_head = call.scope["method"] == "HEAD"
    tag = f'"{file.digest}"'
    try:
        part = None if is_head else asked_range(call.headers, size=file.size, tag=tag)
    except OutOfRange:
        text = f"The range begins behind the end: the file has {file.size} bytes"
        raise Refused(416, text, headers={"Content-Range": f"bytes */{file.size}"}, code="value") from None
    coding = _coding(call, file) if part is None else None
    if coding:
        tag = f'"{file.digest}-{coding}"'
    headers = {"ETag": tag, "Content-Type": file.content_type, "Accept-Ranges": "bytes"}
    if file.modified is not None:
        headers["Last-Modified"] = http_date(file.modified)
    if _has(call, tag):
        return Response(None, 304, headers)
    start, end = part or (0, file.size)
    if part is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
    if is_head and coding:
        headers["Content-Encoding"] = coding
    else:
        headers["Content-Length"] = str(end - start)
    status = 200 if part is None else 206
    if is_head or not file.size:
        return Response(None, status, headers)
    share_of(call.scope).take(_HELD)
    stack = AsyncExitStack()
    chunks = await stack.enter_async_context(file.open(start, end))
    return _Streamed(call, chunks, stack, status, headers)


def _coding(call: Call, file: Download) -> str | None:
    """Returns the coding in which the whole file goes to this client."""
    accepted = call.header(b"accept-encoding")
    if accepted is None or not is_compressible(file.content_type.encode("ascii"), file.size):
        return None
    return coding_for(accepted)


def _has(call: Call, tag: str) -> bool:
    """Whether If-None-Match says that the client has it. A malformed one is ignored."""
    given = call.header(b"if-none-match")
    if given is None:
        return False
    try:
        return given.strip() == "*" or tag.strip('"') in entity_tags(given)
    except ValueError:
        return False


class _Streamed(Response):
    """Sends the chunks as the client takes them. An answer that cannot be finished is cut, so the client sees it."""

    def __init__(
        self,
        call: Call,
        chunks: AsyncIterable[bytes],
        stack: AsyncExitStack,
        status: int,
        headers: dict[str, str],
    ) -> None:
        super().__init__(None, status, headers)
        self._call = call
        self._chunks = chunks
        self._stack = stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._stack:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            chunks = aiter(self._chunks)
            while True:
                try:
                    async with asyncio.timeout(self._call.settings.request_timeout):  # of the store, not of the client
                        chunk = await anext(chunks, None)
                except (FhirStoreError, TimeoutError) as error:
                    status = 504 if isinstance(error, TimeoutError) else 500
                    self._call.failed(status, error)
                    return
                if chunk is None:
                    break
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
