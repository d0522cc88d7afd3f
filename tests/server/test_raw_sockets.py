"""Clients that behave badly on the socket get an answer, and the server goes on serving the others."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
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


_UPGRADES = [
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAA\r\n",
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    b"Connection: keep-alive, Upgrade\r\nUpgrade: anything/9\r\n",
    b"Upgrade: h2c\r\n",
]
_PATIENT = b'{"resourceType":"Patient","id":"up","active":true}'


def _put(upgrade: bytes, *, chunked: bool) -> tuple[bytes, bytes]:
    """Head and body of a PUT with an `Upgrade`."""
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(_PATIENT)
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(_PATIENT), _PATIENT) if chunked else _PATIENT
    head = b"PUT /fhir/Patient/up HTTP/1.1\r\n" + _HOST + upgrade + b"Content-Type: application/fhir+json\r\n" + framing
    return head + b"\r\n\r\n", body


@pytest.mark.parametrize("upgrade", _UPGRADES, ids=["h2c", "websocket", "unknown", "without Connection"])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("apart", [False, True])
def test_a_request_that_wants_an_upgrade_keeps_its_body(
    server: ServeProcess, upgrade: bytes, chunked: bool, apart: bool
) -> None:
    """The body is read, in the packet of the head or after it, and the answer is in HTTP/1.1, as without `Upgrade`."""
    head, body = _put(upgrade, chunked=chunked)
    get = b"GET /fhir/Patient/up HTTP/1.1\r\n" + _HOST + b"Connection: close\r\n\r\n"
    with _connected(server) as client:
        client.sendall(head if apart else head + body)
        if apart:
            time.sleep(0.05)  # so that the server has parsed the head
            client.sendall(body)
        first = client.recv(65_536)
        assert first.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 201 ")), first
        client.sendall(get)  # the connection goes on
        assert _rest(client).startswith(b"HTTP/1.1 200 ")


def test_requests_behind_one_another_that_want_an_upgrade_are_each_read_once(server: ServeProcess) -> None:
    """A body is never taken for a request: what stands in it that looks like one is not done."""
    smuggled = b"DELETE /fhir/Patient/up HTTP/1.1\r\n" + _HOST + b"\r\n"
    post = b"POST /fhir/Binary HTTP/1.1\r\n%s%sContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s"
    one = post % (_HOST, _UPGRADES[0], len(smuggled), smuggled)
    get = b"GET /fhir/Patient/up HTTP/1.1\r\n" + _HOST + _UPGRADES[1] + b"\r\n"
    last = b"GET /fhir/Patient/up HTTP/1.1\r\n" + _HOST + b"Connection: close\r\n\r\n"
    answer = _exchange(server, [b"".join(_put(_UPGRADES[0], chunked=True)) + one + get + one + last])
    assert _statuses(answer)[1:] == [b"201", b"200", b"201", b"200"]


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: +5\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: gzip\r\n",
    ],
)
def test_a_framing_that_can_be_read_in_two_ways_is_refused_with_an_upgrade_too(
    server: ServeProcess, framing: bytes
) -> None:
    """400, and the connection ends: nothing behind it is a request."""
    head = b"POST /fhir/Patient HTTP/1.1\r\n" + _HOST + _UPGRADES[0] + b"Content-Type: application/json\r\n" + framing
    answer = _exchange(server, [head + b"\r\n0\r\n\r\nGET /fhir/metadata HTTP/1.1\r\n" + _HOST + b"\r\n"])
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert len(_statuses(answer)) == 1


def test_an_upgrade_with_expect_100_continue_is_told_to_go_on(server: ServeProcess) -> None:
    """100, then the body, then the answer."""
    head, body = _put(_UPGRADES[0] + b"Expect: 100-continue\r\n", chunked=False)
    with _connected(server) as client:
        client.sendall(head)
        assert client.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(body)
        assert client.recv(65_536).startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 201 "))


def test_http_2_with_prior_knowledge_is_505(server: ServeProcess) -> None:
    """A client that begins in HTTP/2 is told in HTTP/1.1 what is spoken here."""
    answer = _exchange(server, [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"])
    assert answer.startswith(b"HTTP/1.1 505 ")
    assert b"OperationOutcome" in answer


def test_connect_opens_no_tunnel(server: ServeProcess) -> None:
    """What follows a CONNECT is not read as a request."""
    answer = _exchange(server, [b"CONNECT /fhir HTTP/1.1\r\n" + _HOST + b"\r\nGET /fhir/metadata HTTP/1.1\r\n\r\n"])
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert len(_statuses(answer)) == 1


def test_a_target_without_a_path_is_answered(server: ServeProcess) -> None:
    """A host and port behind CONNECT, an absolute URL without a path: an answer, and no silence until a time limit."""
    for line in (b"CONNECT fhir.example.org:443", b"GET http://127.0.0.1", b"GET http://127.0.0.1?x=1"):
        answer = _exchange(server, [line + b" HTTP/1.1\r\n" + _HOST + b"Connection: close\r\n\r\n"])
        assert answer.startswith(b"HTTP/1.1 404 ")
        assert len(_statuses(answer)) == 1


def test_trailers_are_no_headers(server: ServeProcess) -> None:
    """A header behind the body changes nothing: the condition in it is not heeded."""
    body = b'%x\r\n%s\r\n0\r\nIf-Match: W/"999"\r\nX-Tenant-ID: other\r\n\r\n' % (len(_PATIENT), _PATIENT)
    head = b"PUT /fhir/Patient/up HTTP/1.1\r\n" + _HOST + b"Content-Type: application/fhir+json\r\n"
    answer = _exchange(server, [head + b"Transfer-Encoding: chunked\r\n\r\n" + body], whole=False)
    assert answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 201 "))


def test_nonsense_behind_a_request_does_not_take_its_answer(server: ServeProcess) -> None:
    """The request is answered; then the connection ends."""
    answer = _exchange(server, [b"GET /fhir/metadata HTTP/1.1\r\n" + _HOST + b"\r\n\0nonsense\r\n\r\n"])
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 400" not in answer


def test_a_url_with_raw_characters_is_told_how_to_write_them(server: ServeProcess) -> None:
    """400 that says so: curl sends what was typed, such as `name=Müller`."""
    url = "/fhir/Patient?name=Müller".encode()
    for pieces in ([b"GET " + url, b" HTTP/1.1\r\n" + _HOST + b"\r\n"], [b"GET " + url + b" HTTP/1.1\r\n\r\n"]):
        answer = _exchange(server, pieces)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"not in ASCII" in answer
    nonsense = _exchange(server, ["Grüße\r\n\r\n".encode()])
    assert b"no HTTP/1.1 request" in nonsense


def test_of_thousands_of_requests_in_one_packet_a_few_are_kept(server: ServeProcess) -> None:
    """33 are answered: one, and 32 that waited for it; the others are for the client to send again."""
    get = b"GET /health/live HTTP/1.1\r\n" + _HOST + b"\r\n"
    answer = _exchange(server, [get * 1000])
    assert answer.count(b"HTTP/1.1 200 OK") == 33
    _still_serves(server)


@contextmanager
def _connected(server: ServeProcess) -> Iterator[socket.socket]:
    url = urlsplit(server.base_url)
    with socket.create_connection((url.hostname or "", url.port or 0), timeout=_PATIENCE) as client:
        yield client


def _statuses(answers: bytes) -> list[bytes]:
    return re.findall(rb"HTTP/1\.1 ([0-9]{3}) [A-Z][A-Za-z ]+\r\n", answers)


def _rest(client: socket.socket) -> bytes:
    received = b""
    while more := client.recv(65_536):
        received += more
    return received


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
