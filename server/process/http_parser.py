"""The HTTP protocol with a bound on heads: uvicorn's own keeps whatever header block it is sent, however long.

Four clients that never finish their headers would cost 256 MB. Here a request line, its headers and its trailers may
have 64 KiB together; then the answer is 431 (https://www.rfc-editor.org/rfc/rfc6585#section-5) and the connection
ends. It ends gently: what the client is still sending is read and dropped for a moment, since closing a socket with
unread bytes resets the connection, and a reset can overtake the answer.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from server.process.one_write import OneWriteTransport

MAX_HEAD = 64 * 1024  # bytes
_LINGER_BYTES = 1024 * 1024
_LINGER_SECONDS = 2.0
_STATUS = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
_REFUSAL = f"HTTP/1.1 {_STATUS} {_STATUS.phrase}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".encode()


class _HeadTooLarge(Exception):
    """Stops the parser."""


class BoundedHeadProtocol(HttpToolsProtocol):
    """uvicorn's protocol on httptools, with an end to patience and answers that leave in one write."""

    _told = 0  # bytes of request line, headers and trailers that the parser has reported of this request
    _kept = 0  # bytes it has taken since it last reported anything: an unfinished header, growing
    _in_head = False  # between a request's first byte and the end of its headers: it has no answer yet
    _dropped: int | None = None  # bytes that came after the refusal; None: not refused
    _linger: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        super().connection_made(OneWriteTransport(transport, self.loop))

    def data_received(self, data: bytes) -> None:
        if self._dropped is not None:
            self._dropped += len(data)
            if self._dropped > _LINGER_BYTES:
                self.transport.close()
            return
        self._kept += len(data)
        super().data_received(data)
        if self._kept > MAX_HEAD:
            self._refuse()

    def on_message_begin(self) -> None:
        self._told = self._kept = 0
        self._in_head = True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._tell(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._tell(len(name) + len(value) + 4)  # a colon, a space, a line's end
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._kept = 0
        self._in_head = False
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._kept = 0
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        """The parser stopped: at nonsense, or because it was told to."""
        if self._told > MAX_HEAD:
            self._refuse()
        else:
            super().send_400_response(msg)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._linger is not None:
            self._linger.cancel()
        super().connection_lost(exc)

    def _tell(self, size: int) -> None:
        self._told += size
        self._kept = 0
        if self._told > MAX_HEAD:
            raise _HeadTooLarge

    def _refuse(self) -> None:
        if self._dropped is not None or self.transport.is_closing():
            return
        self._dropped = 0
        if not self._in_head or (self.cycle is not None and not self.cycle.response_complete):
            self.transport.close()  # an answer was given, or one is on its way: ours must not get into its middle
            return
        self.transport.write(_REFUSAL)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._linger = self.loop.call_later(_LINGER_SECONDS, self.transport.close)
