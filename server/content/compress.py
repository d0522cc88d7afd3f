"""Compressed answers, for clients that accept them (https://www.rfc-editor.org/rfc/rfc9110#section-12.5.3).

Wraps the `send` of one ASGI response. An answer in one piece is compressed whole, if it is long enough; one that
streams is compressed piece by piece and flushed with each, so no bytes are held back.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Iterable
from functools import lru_cache
from typing import Protocol

import brotli
from starlette.types import Message, Send

from server.http.fields import listed, parameters, quality

_WORTH_IT = 1024  # bytes; a shorter answer fits into one packet as it is
_GZIP_LEVEL = 5
_BROTLI_QUALITY = 4
_LONG = 256 * 1024  # bytes; longer ones are compressed in a thread
_GIVES = re.compile(
    rb"json|xml|^text/|script|html|csv|yaml", re.IGNORECASE
)  # not types that are compressed already, as PDF
_AS_IT_IS = (204, 206, 304)  # a range is of the bytes that are not compressed
_MOST_CODINGS = 100


class _Compressor(Protocol):
    def take(self, data: bytes) -> bytes: ...

    def finish(self) -> bytes: ...


@lru_cache(maxsize=256)
def coding_for(accept_encoding: str) -> str | None:
    """Returns the coding for an Accept-Encoding: `br`, `gzip`, or None for no compression."""
    weights: dict[str, float] = {}
    for item in listed(accept_encoding)[:_MOST_CODINGS]:
        name, given = parameters(item)
        weights[{"x-gzip": "gzip"}.get(name.lower(), name.lower())] = quality(given)
    anything = weights.get("*", 0.0)
    by_weight = sorted(("br", "gzip"), key=lambda name: -weights.get(name, anything))
    best = weights.get(by_weight[0], anything)
    return by_weight[0] if best > 0 and best >= weights.get("identity", 0.0) else None


class CompressedSend:
    """An ASGI `send` that compresses answers of suitable type and length with `coding`."""

    def __init__(self, send: Send, coding: str) -> None:
        self._send = send
        self._coding = coding
        self._start: Message | None = None
        self._compressor: _Compressor | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
        elif message["type"] != "http.response.body":
            await self._send(message)
        elif self._start is not None:
            await self._first(self._start, message)
        else:
            await self._next(message)

    async def _first(self, start: Message, message: Message) -> None:
        self._start = None
        body, more = message.get("body", b""), message.get("more_body", False)
        headers = start["headers"]
        if start["status"] in _AS_IT_IS or not _is_worth_it(headers, len(body), more):
            await self._send(start)
            await self._send(message)
            return
        self._compressor = _Brotli() if self._coding == "br" else _Gzip()
        kept = [(name, value) for name, value in headers if name.lower() != b"content-length"]
        kept.append((b"content-encoding", self._coding.encode("ascii")))
        if more:
            await self._send({**start, "headers": kept})
            await self._next(message)
            return
        if len(body) > _LONG:  # both compressors release the interpreter lock
            packed = await asyncio.to_thread(_packed, self._compressor, body)
        else:
            packed = _packed(self._compressor, body)
        kept.append((b"content-length", b"%d" % len(packed)))
        await self._send({**start, "headers": kept})
        await self._send({**message, "body": packed})

    async def _next(self, message: Message) -> None:
        if self._compressor is not None:
            body, more = message.get("body", b""), message.get("more_body", False)
            if len(body) > _LONG:
                packed = await asyncio.to_thread(_packed, self._compressor, body, more=more)
            else:
                packed = _packed(self._compressor, body, more=more)
            message = {**message, "body": packed}
        await self._send(message)


def _is_worth_it(headers: Iterable[tuple[bytes, bytes]], size: int, more: bool) -> bool:
    """Whether an answer is compressible, not encoded, and long: by its Content-Length, else by its first piece."""
    given = {name.lower(): value for name, value in headers}
    if b"content-encoding" in given:
        return False
    length = given.get(b"content-length", b"")
    long = int(length) if length.isdigit() else _WORTH_IT if more else size
    return is_compressible(given.get(b"content-type", b""), long)


def is_compressible(content_type: bytes, size: int) -> bool:
    """Whether an answer of this type and of so many bytes is compressed for a client that accepts that."""
    return size >= _WORTH_IT and _GIVES.search(content_type) is not None


def _packed(compressor: _Compressor, body: bytes, *, more: bool = False) -> bytes:
    packed = compressor.take(body)
    return packed if more else packed + compressor.finish()


class _Gzip:
    def __init__(self) -> None:
        self._stream = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)

    def take(self, data: bytes) -> bytes:
        return self._stream.compress(data) + (self._stream.flush(zlib.Z_SYNC_FLUSH) if data else b"")

    def finish(self) -> bytes:
        return self._stream.flush()


class _Brotli:
    def __init__(self) -> None:
        self._stream = brotli.Compressor(quality=_BROTLI_QUALITY)

    def take(self, data: bytes) -> bytes:
        packed: bytes = self._stream.process(data) + (self._stream.flush() if data else b"")
        return packed

    def finish(self) -> bytes:
        packed: bytes = self._stream.finish()
        return packed
