"""Answers that are a stored file, streamed: whole or a range of it, as it is stored or decompressed.

https://www.rfc-editor.org/rfc/rfc9110#section-14 (Range), #section-13.1.5 (If-Range). One range is served; several in
one request are answered with the whole file, as a server may.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Protocol

from starlette.responses import Response, StreamingResponse

from fhirstore.threads import in_thread
from server.content.compress import coding_for
from server.http.call import Call
from server.http.refusal import Refused

_RANGE = re.compile(r"bytes[ \t]*=[ \t]*(\d{0,18})-(\d{0,18})[ \t]*", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9._-]{1,150}")
_LONG = 64 * 1024  # bytes; longer pieces are decompressed in a thread
_PIECE = 256 * 1024


class Chunks(Protocol):
    """A body that is being read, in chunks of bounded size."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...


Open = Callable[[int, int | None], AbstractAsyncContextManager[Chunks]]
"""Opens bytes [start, end) of a file as it is stored; `end` None: to its end."""


@dataclass(frozen=True, slots=True)
class File:
    """What is known of a file. `size`: bytes as stored; `encoding`: None or `gzip`; `tag`: a hash of the bytes."""

    size: int
    content_type: str
    tag: str
    encoding: str | None = None
    name: str | None = None


async def file_answer(call: Call, file: File, open: Open) -> Response:
    """Returns the answer to GET or HEAD of a file: 200, 206, 304 or 416. HEAD opens nothing.

    A file that is stored compressed goes as it is to clients that accept that, and decompressed, without ranges, to
    others. A file that is not is compressed on its way, as every answer (`compress`); a range of it is not. Raises as
    `open` does on entering.
    """
    headers = {"ETag": f'"{file.tag}"', "Content-Type": file.content_type, "X-Content-Type-Options": "nosniff"}
    if file.name is not None and _NAME.fullmatch(file.name):
        headers["Content-Disposition"] = f'attachment; filename="{file.name}"'
    if _has_it(call, file.tag):
        return Response(None, 304, {"ETag": headers["ETag"]})
    decompress = file.encoding is not None and not _accepts(call, file.encoding)
    if decompress:
        if call.scope["method"] == "HEAD":
            return Response(None, 200, headers)
        return await _streamed(open, 0, None, headers, inflate=True)
    if file.encoding is not None:
        headers["Content-Encoding"] = file.encoding
    headers["Accept-Ranges"] = "bytes"
    start, end = _wanted(call, file)
    status = 200
    if (start, end) != (0, file.size):
        status = 206
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
    headers["Content-Length"] = str(end - start)
    if call.scope["method"] == "HEAD":
        return Response(None, status, headers)
    return await _streamed(open, start, end if status == 206 else None, headers, status=status)


async def _streamed(
    open: Open, start: int, end: int | None, headers: dict[str, str], *, status: int = 200, inflate: bool = False
) -> Response:
    """Opens the file before it answers, so that a file that is gone is answered as such."""
    stack = AsyncExitStack()
    chunks = await stack.enter_async_context(open(start, end))

    async def body() -> AsyncIterator[bytes]:
        async with stack:
            async for chunk in _inflated(chunks) if inflate else chunks:
                yield chunk

    return StreamingResponse(body(), status, headers)


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


def _wanted(call: Call, file: File) -> tuple[int, int]:
    """Returns the range [start, end) to send. Raises Refused (416) where none of the file is asked for."""
    asked = call.header(b"range")
    condition = call.header(b"if-range")
    match = None if asked is None else _RANGE.fullmatch(asked.strip())
    if match is None or (condition is not None and condition.strip() != f'"{file.tag}"'):
        return 0, file.size
    first, last = match.groups()
    if first:
        start, end = int(first), min(int(last) + 1, file.size) if last else file.size
        if last and int(last) < int(first):
            return 0, file.size  # malformed: ignored
    elif last:
        start, end = max(0, file.size - int(last)), file.size
    else:
        return 0, file.size
    if start >= end:
        raise Refused(416, f"The file has {file.size} bytes", headers={"Content-Range": f"bytes */{file.size}"})
    return start, end


def _has_it(call: Call, tag: str) -> bool:
    given = call.header(b"if-none-match")
    return given is not None and any(one.strip() in (f'"{tag}"', f'W/"{tag}"') for one in given.split(","))


def _accepts(call: Call, encoding: str) -> bool:
    accepted = call.header(b"accept-encoding")
    return accepted is not None and (
        coding_for(accepted) == encoding or re.search(rf"\b{encoding}\b(?!\s*;\s*q=0(\.0*)?\b)", accepted) is not None
    )
