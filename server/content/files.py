"""Answers that are a stored file, streamed: whole or a range of it, as it is stored, compressed or decompressed.

Each form has its own ETag: that of the stored bytes is strong, so that a client may go on with a download that was cut
(Range with If-Range). A form that is made on the way has no ranges, since its bytes could not be made again. Memory: a
chunk of the store and what waits in the connection, whatever the size.

https://www.rfc-editor.org/rfc/rfc9110#section-14 (Range) · #section-8.8.3 (ETag)
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from fhirstore import entity_tags
from fhirstore.errors import FhirStoreError
from fhirstore.threads import in_thread
from server.content.compress import coding_for, is_compressible
from server.http.byte_range import OutOfRange, asked_range
from server.http.call import Call
from server.http.digests import repr_digest
from server.http.in_flight import share_of
from server.http.refusal import Refused

_NAME = re.compile(r"[A-Za-z0-9._-]{1,150}")
_LONG = 64 * 1024  # bytes; longer pieces are decompressed in a thread
_PIECE = 256 * 1024
HELD = 2 * 1024 * 1024  # bytes that count as in flight for each download: a chunk that is read, one that is sent


class Chunks(Protocol):
    """A body that is being read, in chunks of bounded size."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...


Open = Callable[[int, int | None], AbstractAsyncContextManager[Chunks]]
"""Opens bytes [start, end) of a file as it is stored; `end` None: to its end."""


@dataclass(frozen=True, slots=True)
class File:
    """What is known of a file. `size`: bytes as stored; `encoding`: None or `gzip`.

    `tag`: names the bytes, by their hash or otherwise; a form that is made on the way has a tag that begins with it.
    `versioned`: `tag` is a version id, so such a form has the same, weak. `name`: under which a browser saves it.
    `sha256`: in hex, of the bytes as stored; None: not told to the client.
    """

    size: int
    content_type: str
    tag: str
    encoding: str | None = None
    name: str | None = None
    versioned: bool = False
    sha256: str | None = None


async def file_answer(call: Call, file: File, open: Open) -> Response:
    """Returns the answer to GET or HEAD of a file: 304, or as `content_answer`, which see."""
    had = _had(call, file)
    if had is not None:
        return Response(None, 304, {"ETag": f'"{had}"'})
    return await content_answer(call, file, open)


async def content_answer(
    call: Call, file: File, open: Open, *, more_headers: Mapping[str, str] | None = None
) -> Response:
    """Returns 200 or 206 with the file or a range of it. HEAD opens nothing, and has no ranges.

    Raises Refused (416: the range begins behind the end), Crowded, and what `open` raises on entering.
    """
    is_head = call.scope["method"] == "HEAD"
    inflate = file.encoding is not None and not _accepts(call, file.encoding)
    part = None if is_head or inflate else _part(call, file)
    coding = _coding(call, file) if part is None else None
    form = "plain" if inflate else coding
    headers = {"ETag": _tag(file, form), "Content-Type": file.content_type}
    headers |= more_headers or {}
    if form is None and file.sha256 is not None:
        headers["Repr-Digest"] = repr_digest(file.sha256)
    if file.name is not None and _NAME.fullmatch(file.name):
        headers["Content-Disposition"] = f'attachment; filename="{file.name}"'
    if file.encoding is not None and not inflate:
        headers["Content-Encoding"] = file.encoding
    elif coding and is_head:  # `compress` adds it to a body
        headers["Content-Encoding"] = coding
    start, end = part or (0, file.size)
    if not inflate:
        headers["Accept-Ranges"] = "bytes"
        if not (coding and is_head):
            headers["Content-Length"] = str(end - start)
    if part is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
    status = 200 if part is None else 206
    if is_head or not file.size:
        return _without_guess(Response(None, status, headers), headers)
    if not file.versioned:  # whoever read a Binary has room for it: see `make_room`
        share_of(call.scope).take(HELD)
    stack = AsyncExitStack()  # opened before the answer begins: a file that is gone is answered as such
    chunks = await stack.enter_async_context(open(start, None if part is None else end))
    return StreamedAnswer(call, _inflated(chunks) if inflate else chunks, stack, status, headers)


def _tag(file: File, form: str | None) -> str:
    if form is None:
        return f'"{file.tag}"'
    return f'W/"{file.tag}"' if file.versioned else f'"{file.tag}-{form}"'


class StreamedAnswer(Response):
    """Sends the chunks as the client takes them. An answer that cannot be finished is cut, so that the client sees it.

    A request's deadline ends where its answer begins, so each chunk has that time anew.
    """

    def __init__(self, call: Call, chunks: Chunks, stack: AsyncExitStack, status: int, headers: dict[str, str]) -> None:
        super().__init__(None, status, headers)
        _without_guess(self, headers)
        self._call = call
        self._chunks = chunks
        self._stack = stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._stack:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            chunks = aiter(self._chunks)
            reading = asyncio.create_task(self._next(chunks))
            try:
                while (chunk := await reading) is not None:
                    reading = asyncio.create_task(self._next(chunks))  # while this one is sent
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            except (FhirStoreError, TimeoutError) as error:
                self._call.failed(504 if isinstance(error, TimeoutError) else 500, error)
                return
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _next(self, chunks: AsyncIterator[bytes]) -> bytes | None:
        async with asyncio.timeout(self._call.settings.request_timeout):
            return await anext(chunks, None)


def _without_guess(response: Response, headers: dict[str, str]) -> Response:
    """Takes away the length that Starlette adds where `headers` have none. Returns the response."""
    if "Content-Length" not in headers:
        del response.headers["content-length"]
    return response


async def _inflated(chunks: Chunks) -> AsyncIterator[bytes]:
    """Yields the content of a gzip file of any number of members, in pieces of bounded size."""
    inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)
    async for chunk in chunks:
        left = chunk
        while left:
            if len(left) > _LONG:
                piece = await in_thread(inflater.decompress, left, _PIECE)
            else:
                piece = inflater.decompress(left, _PIECE)
            if piece:
                yield piece
            left = inflater.unconsumed_tail
            if inflater.eof:
                left = inflater.unused_data
                inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)


def _part(call: Call, file: File) -> tuple[int, int] | None:
    """Returns the range [start, end) that is asked for; None for the whole. Raises Refused (416)."""
    try:
        return asked_range(call.headers, size=file.size, tag=f'"{file.tag}"')
    except OutOfRange:
        raise Refused(
            416,
            f"The range begins behind the end: the file has {file.size} bytes",
            headers={"Content-Range": f"bytes */{file.size}"},
            code="value",
        ) from None


def _coding(call: Call, file: File) -> str | None:
    """Returns the coding that `compress` gives the whole file on its way to this client."""
    accepted = call.header(b"accept-encoding")
    if accepted is None or file.encoding is not None:
        return None
    return coding_for(accepted) if is_compressible(file.content_type.encode("ascii"), file.size) else None


def _had(call: Call, file: File) -> str | None:
    """Returns the tag in If-None-Match that is of this file, in whatever form. A malformed header is ignored."""
    given = call.header(b"if-none-match")
    if given is None:
        return None
    if given.strip() == "*":
        return file.tag
    try:
        return next((tag for tag in entity_tags(given) if tag.partition("-")[0] == file.tag), None)
    except ValueError:
        return None


def _accepts(call: Call, encoding: str) -> bool:
    accepted = call.header(b"accept-encoding")
    return accepted is not None and (
        coding_for(accepted) == encoding or re.search(rf"\b{encoding}\b(?!\s*;\s*q=0(\.0*)?\b)", accepted) is not None
    )
