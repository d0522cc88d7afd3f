"""A request body that is not held whole: its pieces as they arrive, within a limit, decompressed, its digest checked.

The deadline of the request begins anew with each piece; how slow a client may be is the connection's affair
(`server.process.connections`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator

from starlette.requests import ClientDisconnect

from fhirstore.errors import ContentTooLarge
from server.content.inflate import TooMuch, inflater
from server.http.call import Call
from server.http.digests import BodyDigest, asked_digest


class Arriving:
    """The body of a request, to be read once. `size`: its Content-Length; None: not known, as it is compressed or
    chunked.

    `sha256`: the hash, in hex, that its bytes must have; None: not said, or said of the compressed bytes, which are
    checked here. The caller checks both where they are given, so that the bytes are hashed once.
    """

    def __init__(self, call: Call, *, most: int, setting: str) -> None:
        """`most`: bytes, compressed and decompressed; `setting`: the variable that says so.

        Raises Refused (400, 415), ContentTooLarge: before the client is told to send the body.
        """
        self._call = call
        self._most = most
        self._setting = setting
        coding = call.header(b"content-encoding")
        self._unpack = None if coding is None else inflater(coding, most)
        length = call.headers.get(b"content-length", b"")
        announced = int(length) if length.isdigit() else None
        if announced is not None and announced > most:
            raise self._too_large()
        digest = asked_digest(call.headers)
        self.size = announced if self._unpack is None else None
        self.sha256 = digest.hex() if digest is not None and self._unpack is None else None
        self.ended = False  # all of it has arrived
        self._packed = BodyDigest(None if self._unpack is None else digest)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yields the body in pieces of at most 1 MiB, or as the connection read them.

        Raises ClientDisconnect, ContentTooLarge, MalformedContent, Refused (400: the digest is another one).
        """
        size, more = 0, True
        while more:
            message = await self._call.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            self._call.process.extend_deadline()
            piece: bytes = message.get("body", b"")
            more = message.get("more_body", False)
            self.ended = not more
            size += len(piece)
            if size > self._most:
                raise self._too_large()
            if self._unpack is None:
                if piece:
                    yield piece
                continue
            await asyncio.to_thread(self._packed.add, piece)
            inflated = self._unpack.pieces(piece)
            while (part := await asyncio.to_thread(self._next, inflated)) is not None:
                if part:
                    yield part
        if self._unpack is not None and size:
            self._unpack.end()
        self._packed.end()

    def _next(self, inflated: Iterator[bytes]) -> bytes | None:
        try:
            return next(inflated, None)
        except TooMuch:
            raise self._too_large() from None

    def _too_large(self) -> ContentTooLarge:
        return ContentTooLarge(f"The body is over the limit of {self._most:,} bytes ({self._setting})")
