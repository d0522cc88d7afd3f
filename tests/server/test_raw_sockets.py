"""Clients that behave badly on the socket get an answer, and the server goes on serving the others."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from itertools import repeat
from urllib.parse import urlsplit

import httpx
import pytest

from server.process.http_parser import MAX_HEAD
from tests.server.processes import ServeProcess, served

_PATIENCE = 60  # seconds
_HOST = b"Host: localhost\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[ServeProcess]:
    """One real server for all of these."""
    with served({"FHIRSTORE_STORE": "memory:"}) as value:
        yield value


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"GET /fhir/metadata HTTP/1.1\r\nX: ", b"x" * 1024),
        (b"GET /fhir/metadata HTTP/1.1\r\n", b"X: %s\r\n" % (b"x" * 1024)),
        (b"GET /fhir/metadata?", b"x" * 1024),
    ],
    ids=["one endless header", "endless headers", "an endless URL"],
)
def test_an_endless_head_is_431(server: ServeProcess, start: bytes, more: bytes) -> None:
    """The client sends four times what is allowed, then reads, and finds the answer."""
    answer = _exchange(server, [start, *repeat(more, 4 * MAX_HEAD // len(more))])
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"connection: close" in answer.lower()
    _still_serves(server)


@pytest.mark.parametrize("trailer", [b"x", b"X: x\r\n"], ids=["one", "many"])
def test_endless_trailers_end_the_connection(server: ServeProcess, trailer: bytes) -> None:
    """Headers after the body have the same bound."""
    head = b"POST /fhir/Patient HTTP/1.1\r\n" + _HOST + b"Content-Type: application/json\r\n"
    start = head + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\nX: "
    with pytest.raises(OSError):
        _exchange(server, [start, *repeat(trailer * 16_384, 4096)])
    _still_serves(server)


def test_a_client_that_never_stops_sending_headers_is_cut_off(server: ServeProcess) -> None:
    """After the refusal only so much more is read."""
    with pytest.raises(OSError):
        _exchange(server, [b"GET /fhir/metadata HTTP/1.1\r\nX: ", *repeat(b"x" * 65_536, 4096)])
    _still_serves(server)


def test_a_long_head_within_the_bound_is_served(server: ServeProcess) -> None:
    """60 KB of headers are unusual, but fine; in pieces, too."""
    headers = b"".join(b"X-%d: %s\r\n" % (n, b"x" * 1000) for n in range(60))
    pieces = [b"GET /fhir/metadata HTTP/1.1\r\n" + _HOST + headers[:30_000], headers[30_000:] + b"\r\n"]
    assert _exchange(server, pieces, whole=False).startswith(b"HTTP/1.1 200 ")


def test_what_follows_a_long_body_on_the_same_connection_is_served(server: ServeProcess) -> None:
    """The bound is per head: bodies, and heads of earlier requests, do not count."""
    body = b'{"resourceType":"Patient","id":"p","name":[{"text":"%s"}]}' % (b"x" * 1_000_000)
    put = b"PUT /fhir/Patient/p HTTP/1.1\r\n%sContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
    get = b"GET /fhir/Patient/p HTTP/1.1\r\n%sX: %s\r\nConnection: close\r\n\r\n" % (_HOST, b"x" * 60_000)
    answer = _exchange(server, [put % (_HOST, len(body), body) + get])
    assert answer.startswith(b"HTTP/1.1 201 ")
    assert b"HTTP/1.1 200 " in answer


@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_writes_20_mb_before_it_reads_finds_the_413(server: ServeProcess, chunked: bool) -> None:
    """The server answers at once and hears the client out, so that no reset overtakes the answer."""
    piece, count = b"x" * 1_000_000, 20
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % (len(piece) * count)
    head = b"PUT /fhir/Patient/p HTTP/1.1\r\n" + _HOST + b"Content-Type: application/json\r\n" + framing + b"\r\n\r\n"
    body = [b"%x\r\n%s\r\n" % (len(piece), piece)] * count + [b"0\r\n\r\n"] if chunked else [piece] * count
    answer = _exchange(server, [head, *body])
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer.lower()
    assert answer.endswith(b"}")
    _still_serves(server)


def test_a_client_that_asks_first_gets_the_413_without_sending(server: ServeProcess) -> None:
    """Expect: 100-continue with a Content-Length over the limit is answered before any of the body."""
    head = b"PUT /fhir/Patient/p HTTP/1.1\r\n" + _HOST + b"Content-Type: application/json\r\n"
    answer = _exchange(server, [head + b"Content-Length: 20000000\r\nExpect: 100-continue\r\n\r\n"], whole=False)
    assert answer.startswith(b"HTTP/1.1 413 ")


def _exchange(server: ServeProcess, pieces: Iterable[bytes], *, whole: bool = True) -> bytes:
    """Write everything, and only then read: to the end of the connection if `whole`, else one piece."""
    url = urlsplit(server.base_url)
    with socket.create_connection((url.hostname or "", url.port or 0), timeout=_PATIENCE) as client:
        for piece in pieces:
            client.sendall(piece)
        received = client.recv(65_536)
        while whole and (more := client.recv(65_536)):
            received += more
    return received


def _still_serves(server: ServeProcess) -> None:
    assert httpx.get(f"{server.base_url}/metadata", timeout=_PATIENCE).status_code == 200
