"""A message that two servers could frame in different ways is refused, and nothing behind it is read as a request.

A proxy and this server must agree where each request ends; else a client smuggles one past the proxy
(https://www.rfc-editor.org/rfc/rfc9112#section-11.2). Each case is one connection: a POST with the framing in question,
then a GET that must not be answered where the framing was refused.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.server.processes import ServeProcess, served

_PATIENCE = 30.0  # seconds
_HOST = b"Host: localhost\r\n"
_START = b"POST /fhir/Patient HTTP/1.1\r\n" + _HOST + b"Content-Type: application/fhir+json\r\n"
_BODY = b'{"resourceType":"Patient"}'
_LENGTH = b"Content-Length: %d\r\n" % len(_BODY)
_NO_CHUNKS = b"\r\n0\r\n\r\n"
_CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
_HIDDEN = b"GET /fhir/Patient/hidden HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

_REFUSED: dict[str, bytes] = {
    "length and chunks": _START + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n" + _NO_CHUNKS,
    "two lengths": _START + _LENGTH + b"Content-Length: 5\r\n\r\n" + _BODY,
    "two equal lengths": _START + _LENGTH + _LENGTH + b"\r\n" + _BODY,
    "a list of lengths": _START + b"Content-Length: 26, 26\r\n\r\n" + _BODY,
    "a length with +": _START + b"Content-Length: +26\r\n\r\n" + _BODY,
    "a negative length": _START + b"Content-Length: -1\r\n\r\n" + _BODY,
    "a length in hex": _START + b"Content-Length: 0x1a\r\n\r\n" + _BODY,
    "a length with a blank": _START + b"Content-Length: 2 6\r\n\r\n" + _BODY,
    "an empty length": _START + b"Content-Length: \r\n\r\n",
    "a length past 64 bits": _START + b"Content-Length: 99999999999999999999\r\n\r\n" + _BODY,
    "a blank before the colon of a length": _START + b"Content-Length : 26\r\n\r\n" + _BODY,
    "a blank before the colon of chunks": _START + b"Transfer-Encoding : chunked\r\n" + _NO_CHUNKS,
    "an unknown coding": _START + b"Transfer-Encoding: xchunked\r\n" + _NO_CHUNKS,
    "chunked twice": _START + b"Transfer-Encoding: chunked, chunked\r\n" + _NO_CHUNKS,
    "two codings in two lines": _START + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n" + _NO_CHUNKS,
    "identity": _START + b"Transfer-Encoding: identity\r\n\r\n",
    "a quoted coding": _START + b'Transfer-Encoding: "chunked"\r\n' + _NO_CHUNKS,
    "a vertical tab": _START + b"Transfer-Encoding:\x0bchunked\r\n" + _NO_CHUNKS,
    "a coding with a parameter": _START + b"Transfer-Encoding: chunked;x=1\r\n" + _NO_CHUNKS,
    "a coding and a comma": _START + b"Transfer-Encoding: chunked,\r\n" + _NO_CHUNKS,
    "chunks in HTTP/1.0": _START.replace(b"/1.1", b"/1.0") + b"Transfer-Encoding: chunked\r\n" + _NO_CHUNKS,
    "a folded header": _START + b"X: a\r\n b\r\n" + _LENGTH + b"\r\n" + _BODY,
    "a folded coding": _START + b"Transfer-Encoding:\r\n chunked\r\n" + _NO_CHUNKS,
    "a blank before the first header": _START.replace(b"Host", b" Host") + _LENGTH + b"\r\n" + _BODY,
    "lines that end in LF": (_START + _LENGTH + b"\r\n").replace(b"\r", b"") + _BODY,
    "one line that ends in LF": _START + b"X: a\n" + _LENGTH + b"\r\n" + _BODY,
    "one line that ends in CR": _START + b"X: a\r" + _LENGTH + b"\r\n" + _BODY,
    "NUL in a value": _START + b"X: a\0b\r\n" + _LENGTH + b"\r\n" + _BODY,
    "NUL in a name": _START + b"X\0: a\r\n" + _LENGTH + b"\r\n" + _BODY,
    "no name": _START + b": a\r\n" + _LENGTH + b"\r\n" + _BODY,
    "a chunk of 200 kB of extension": _START + _CHUNKED + b"5;" + b"x" * 200_000 + b"\r\nhello\r\n0\r\n\r\n",
    "an extension that ends in LF": _START + _CHUNKED + b"1a;x\n" + _BODY + b"\r\n0\r\n\r\n",
    "a negative chunk": _START + _CHUNKED + b"-1\r\nh\r\n0\r\n\r\n",
    "a chunk with 0x": _START + _CHUNKED + b"0x1a\r\n" + _BODY + b"\r\n0\r\n\r\n",
    "a chunk past 64 bits": _START + _CHUNKED + b"ffffffffffffffff1\r\nh\r\n0\r\n\r\n",
    "a chunk and a blank": _START + _CHUNKED + b"1a \r\n" + _BODY + b"\r\n0\r\n\r\n",
    "a chunk that is longer than it says": _START + _CHUNKED + b"1a\r\n" + _BODY + b"XX0\r\n\r\n",
    "chunks that end in LF": _START + _CHUNKED + b"1a\n" + _BODY + b"\n0\n\n",
    "HTTP/1.2": b"GET /fhir/metadata HTTP/1.2\r\n" + _HOST + b"\r\n",
    "HTTP/0.9": b"GET /fhir/metadata\r\n\r\n",
    "a blank in the target": b"GET /fhir/meta data HTTP/1.1\r\n" + _HOST + b"\r\n",
    "bytes beyond ASCII in the target": b"GET /fhir/Pati\xc3\xa9nt HTTP/1.1\r\n" + _HOST + b"\r\n",
}

_ONE_WAY: dict[str, tuple[bytes, list[str]]] = {
    "chunked in capitals": (_START + b"Transfer-Encoding:\tCHUNKED\r\n" + _NO_CHUNKS, ["400", "404"]),
    "an underscore is no hyphen": (
        _START + b"Transfer_Encoding: chunked\r\n" + _LENGTH + b"\r\n" + _BODY,
        ["201", "404"],
    ),
    "a short extension": (_START + _CHUNKED + b"1a;x=y\r\n" + _BODY + b"\r\n0\r\n\r\n", ["201", "404"]),
    "two hosts": (_START + b"Host: other\r\n" + _LENGTH + b"\r\n" + _BODY, ["400", "404"]),
    "no host": (_START.replace(_HOST, b"") + _LENGTH + b"\r\n" + _BODY, ["400", "404"]),
    "a list of hosts": (_START.replace(b"localhost", b"localhost, a") + _LENGTH + b"\r\n" + _BODY, ["400", "404"]),
    "a GET with a body": (b"GET /fhir/metadata HTTP/1.1\r\n" + _HOST + _LENGTH + b"\r\n" + _BODY, ["200", "404"]),
    "two content types": (_START + b"Content-Type: text/plain\r\n" + _LENGTH + b"\r\n" + _BODY, ["415", "404"]),
}


@pytest.fixture(scope="module")
def server() -> Iterator[ServeProcess]:
    """One real server for all of these."""
    with served({"FHIRSTORE_STORE": "memory:"}) as value:
        yield value


@pytest.mark.parametrize("case", _REFUSED)
def test_what_can_be_framed_in_two_ways_is_refused(server: ServeProcess, case: str) -> None:
    """One answer, 400 or 431, and the connection ends: what follows is not read."""
    statuses = _statuses(server, _REFUSED[case] + _HIDDEN)
    assert statuses in (["400"], ["431"])


@pytest.mark.parametrize("case", _ONE_WAY)
def test_what_can_be_framed_in_one_way_ends_where_it_says(server: ServeProcess, case: str) -> None:
    """The message is answered, be it with a refusal, and the request behind it as what it is."""
    sent, expected = _ONE_WAY[case]
    assert _statuses(server, sent + _HIDDEN) == expected


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        (b"http://evil.example/fhir/metadata", b"localhost", "421"),
        (b"http://localhost/fhir/metadata", b"evil.example", "200"),
        (b"http://[::1]:80/fhir/metadata", b"evil.example", "200"),
        (b"http://user@evil.example/fhir/metadata", b"localhost", "421"),
        (b"/fhir/metadata", b"evil.example", "421"),
    ],
)
def test_the_host_of_an_absolute_url_counts(server: ServeProcess, target: bytes, host: bytes, status: str) -> None:
    """Host is ignored then, as a proxy does, so that the two never differ in whom a request was for."""
    request = b"GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % (target, host)
    assert _statuses(server, request) == [status]


def _statuses(server: ServeProcess, sent: bytes) -> list[str]:
    """The statuses of all answers until the connection ends, which it must."""
    url = urlsplit(server.base_url)
    received = b""
    with socket.create_connection((url.hostname or "", url.port or 0), timeout=_PATIENCE) as client:
        client.sendall(sent)
        while more := client.recv(65_536):
            received += more
    return [status.decode() for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) [A-Z]", received)]
