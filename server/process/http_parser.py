"""The HTTP/1.1 parser of a connection: bounded heads, no upgrades, no trailers.

uvicorn's own protocol keeps whatever header block it is sent, however long. Here a request line, its headers and its
trailers may have 64 KiB together; beyond that the answer is 431 (https://www.rfc-editor.org/rfc/rfc6585#section-5) and
the connection ends. Before it is closed, what the client is still sending is read and dropped for a moment: closing a
socket with unread bytes resets the connection, and a reset can overtake the answer.

A server may ignore `Upgrade` and answer in HTTP/1.1 (https://www.rfc-editor.org/rfc/rfc9110#section-7.8), and this one
always does. After such a head httptools expects another protocol: it does not parse the request's body, nor separate it
from the next request. So the rest of the message is given to a second parser that knows only the message's framing,
`Content-Length` or `Transfer-Encoding`, as the first parser accepted it.

Trailers are dropped: a header that comes after the body must not change the meaning of the request
(https://www.rfc-editor.org/rfc/rfc9110#section-6.5.1).
"""

from __future__ import annotations

import asyncio
import re
from abc import ABC, abstractmethod
from http import HTTPStatus

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from server.process.one_write import OneWriteTransport

MAX_HEAD = 64 * 1024  # bytes
_LINGER_BYTES = 1024 * 1024
_LINGER_SECONDS = 2.0
_FRAMING = (b"content-length", b"transfer-encoding")


def closing_answer(status: HTTPStatus, *, code: str = "", text: str = "", retry_after: int = 0) -> bytes:
    """Returns the bytes of an answer that ends the connection, for a request that never reaches a handler.

    With `code`, its body is an OperationOutcome.
    """
    body = ""
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", "connection: close"]
    if code:
        issue = f'{{"severity":"error","code":"{code}","diagnostics":"{text}"}}'
        body = f'{{"resourceType":"OperationOutcome","issue":[{issue}]}}'
        lines.append("content-type: application/fhir+json; charset=utf-8")
    if retry_after:
        lines.append(f"retry-after: {retry_after}")
    return "\r\n".join([*lines, f"content-length: {len(body)}", "", body]).encode("ascii")


_TOO_LARGE = closing_answer(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
_NOT_HTTP = closing_answer(HTTPStatus.BAD_REQUEST, code="structure", text="This is no HTTP/1.1 request")
_NOT_ASCII = closing_answer(
    HTTPStatus.BAD_REQUEST, code="structure", text="The URL is not in ASCII; write other characters as %C3%BC"
)
_RAW_URL = re.compile(rb"[A-Z]{3,7} /[^ \r\n\x80-\xff]*[\x80-\xff]")
_HTTP_2 = closing_answer(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, code="not-supported", text="Speak HTTP/1.1")


class _Stop(Exception):
    """Stops the parser: the bytes that follow are not for it."""


class BoundedHeadProtocol(HttpToolsProtocol, ABC):
    """uvicorn's protocol on httptools, with bounded heads and answers that leave in one write."""

    _told = 0  # bytes of request line, headers and trailers that the parser has reported of this request
    kept = 0  # bytes it was given since it last reported something: of an unfinished header
    in_head = False  # between a request's first byte and the end of its headers: it has no answer yet
    in_message = False  # between a request's first byte and the end of its body
    deaf = False  # bytes that arrive are ignored; the connection ends after the answers under way
    dropped: int | None = None  # bytes that came after a refusal; None: not refused
    _linger: asyncio.TimerHandle | None = None
    _framing: bytes | None = None  # a head that says only how the body of the request that wants an upgrade is framed

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        super().connection_made(OneWriteTransport(transport, self.loop))

    def data_received(self, data: bytes) -> None:
        if self.dropped is not None:
            self.dropped += len(data)
            if self.dropped > _LINGER_BYTES:
                self.transport.close()
            return
        if self.deaf:
            return
        self.kept += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as end:
            self._ignore_upgrade(data, end.args[0])
        except httptools.HttpParserError:
            if _RAW_URL.match(data) and not self._told:
                self.refuse(_NOT_ASCII)
            else:
                self.send_400_response("Invalid HTTP request received.")
            return
        if self.kept > MAX_HEAD:
            self.refuse(_TOO_LARGE)

    def _ignore_upgrade(self, data: bytes, offset: int) -> None:
        """Parses on in HTTP/1.1 after a head that ends at `offset` of `data` and asks for another protocol."""
        rest = memoryview(data)
        while not self.deaf:
            framing, self._framing = self._framing, None
            try:
                if framing is not None:
                    self.parser = _parser(_RestOfMessage(self))
                    self.parser.feed_data(framing)
                self.parser.feed_data(rest[offset:])
            except httptools.HttpParserUpgrade as end:
                offset += end.args[0]
            except httptools.HttpParserError:
                self.send_400_response("Invalid HTTP request received.")
                return
            else:
                return

    def on_message_begin(self) -> None:
        if self.deaf:
            raise _Stop
        self._told = self.kept = 0
        self.in_head = self.in_message = True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._tell(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._tell(len(name) + len(value) + 4)  # a colon, a space, a line's end
        if self.in_head:
            super().on_header(name, value)

    def head_is_complete(self) -> None:
        """The subclass calls it at the end of a head: what follows is the body."""
        self.kept = 0
        self.in_head = False
        if self.parser.should_upgrade():
            self._expect_no_upgrade()

    def on_message_complete(self) -> None:
        if self._framing is None:  # otherwise the parser expects another protocol here, and it is the body
            self.in_message = False
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuses the request: the parser stopped at what is not HTTP/1.1, or at the bound of a head."""
        if self._told > MAX_HEAD:
            self.refuse(_TOO_LARGE)
        elif not self.deaf:
            self.refuse(_HTTP_2 if self.parser.get_method() == b"PRI" else _NOT_HTTP)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._linger is not None:
            self._linger.cancel()
        super().connection_lost(exc)

    def refuse(self, answer: bytes) -> None:
        """Sends this answer if no other is under way or due, drops for a moment what still arrives, and closes."""
        if self.dropped is not None or self.transport.is_closing():
            return
        if not self.may_refuse():  # it must not be sent inside of another answer
            self.end_after_answer()
            return
        self.dropped = 0
        self.abandon()
        self.transport.write(answer)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._linger = self.loop.call_later(_LINGER_SECONDS, self.transport.close)

    @abstractmethod
    def may_refuse(self) -> bool:
        """Whether the client's next answer is the one to the request that is being parsed, and has not begun."""

    @abstractmethod
    def abandon(self) -> None:
        """Cancels the app: nobody waits for its answer any more."""

    @abstractmethod
    def end_after_answer(self) -> None:
        """Ignores what still arrives; closes after the answer under way, or at once where there is none."""

    def _expect_no_upgrade(self) -> None:
        """Prepares for the parser to stop after this head. After CONNECT, which has no body, nothing more is parsed."""
        if self.parser.get_method() == b"CONNECT":
            self.deaf = True
            return
        framing = [b"%s: %s\r\n" % (name, value) for name, value in self.headers if name in _FRAMING]
        if framing:
            self._framing = b"POST / HTTP/1.1\r\n%s\r\n" % b"".join(framing)

    def _tell(self, size: int) -> None:
        self._told += size
        self.kept = 0
        if self._told > MAX_HEAD:
            raise _Stop


class _RestOfMessage:
    """Receives the events of a parser that begins inside of a message: of that one only its body and its end."""

    def __init__(self, whole: BoundedHeadProtocol) -> None:
        self._whole = whole
        self._begun = False
        self.on_body = whole.on_body
        self.on_message_complete = whole.on_message_complete

    def on_message_begin(self) -> None:
        if self._begun:
            self._whole.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if self._begun:
            self._whole.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._begun:
            self._whole.on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._begun:
            self._whole.on_headers_complete()
        self._begun = True


def _parser(protocol: object) -> httptools.HttpRequestParser:
    parser = httptools.HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it
    return parser
