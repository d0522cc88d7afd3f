"""Clients that hold memory and sockets: many at once, each for some seconds at most.

What the server did about it is told in a word or two; how much it held is measured around it.
"""

from __future__ import annotations

import re
import select
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial

from conformance.abuse.target import Target
from conformance.abuse.work import Abuse, Act

_BODY = 16 * 1024 * 1024
_BINARY = 15 * 1024 * 1024  # so that it is within the limit also as a resource
_CLIENTS = 40
_UNFINISHED = 50
_IDLE = 500
_HELD = 12.0  # seconds that a client holds on, at most
_STATUS = re.compile(rb"HTTP/1\.1 ([0-9]{3})")


def _unfinished_bodies(target: Target) -> Act:
    """Bodies of 16 MB but for their last byte."""
    head = target.head("POST", "/Patient", Content_Type="application/fhir+json", Content_Length=_BODY)
    body = b'{"resourceType":"Patient","a":"' + b"a" * (_BODY - 100)

    def one() -> str:
        with target.connect() as connection:
            return _sent(connection, head + body) or _answered(connection)

    return partial(_many, _UNFINISHED, one)


def _unread_binaries(target: Target) -> Act:
    """Readers that ask for 15 MB and take none of it."""
    _store_binary(target)
    head = target.head("GET", "/Binary/abuse", Accept="*/*")

    def one() -> str:
        with target.connect() as connection:
            connection.sendall(head)
            time.sleep(_HELD)
            return _answered(connection)

    return partial(_many, _CLIENTS, one)


def _read_binaries(target: Target) -> Act:
    """Readers that take what they ask for, all at once."""
    _store_binary(target)
    return partial(_many, _CLIENTS, partial(target.send, "GET", "/Binary/abuse", None, {"Accept": "*/*"}))


def _written_binaries(target: Target) -> Act:
    body = b"\0" * _BINARY
    octets = {"Content-Type": "application/octet-stream"}
    return partial(_many, _CLIENTS, partial(target.send, "POST", "/Binary", body, octets))


def _large_resources(target: Target) -> Act:
    """Resources of 16 MB that are refused, all at once: parsing them is the cost."""
    body = b'{"resourceType":"Patient","a":[' + b",".join([b'"0123456789ab"'] * 900_000) + b"]}"
    headers = {"Content-Type": "application/fhir+json"}
    return partial(_many, 10, partial(target.send, "POST", "/Patient", body, headers))


def _idle_connections(target: Target) -> Act:
    """Connections that say nothing; then one that does."""

    def act() -> str:
        with ExitStack() as stack:
            opened = 0
            for _ in range(_IDLE):
                with suppress(OSError):
                    stack.enter_context(target.connect())
                    opened += 1
            status = target.send("GET", "/metadata")
        return f"{opened} opened, then {status}"

    return act


def _slow_heads(target: Target) -> Act:
    """Heads that come a byte at a time; the server should lose patience."""
    head = target.head("GET", "/metadata", X_Slow="a" * 1_000)

    def one() -> str:
        with target.connect() as connection:
            end = time.monotonic() + _HELD
            for byte in head:
                if time.monotonic() > end:
                    return "still waited for"
                said = _sent(connection, bytes((byte,)))
                if said or select.select([connection], [], [], 0.25)[0]:
                    return said or _answered(connection)
        return "all taken"

    return partial(_many, _UNFINISHED, one)


HOLDING = (
    Abuse(f"{_UNFINISHED} unfinished bodies of 16 MB", _unfinished_bodies),
    Abuse(f"{_CLIENTS} unread Binaries of 15 MB", _unread_binaries),
    Abuse(f"{_CLIENTS} Binaries of 15 MB read in parallel", _read_binaries),
    Abuse(f"{_CLIENTS} Binaries of 15 MB written in parallel", _written_binaries),
    Abuse("10 resources of 14 MB in parallel", _large_resources),
    Abuse(f"{_IDLE} idle connections", _idle_connections),
    Abuse(f"{_UNFINISHED} heads, a byte at a time", _slow_heads),
)


def _store_binary(target: Target) -> None:
    target.send("PUT", "/Binary/abuse", b"\0" * _BINARY, {"Content-Type": "application/octet-stream"})


def _many(count: int, one: Callable[[], str]) -> str:
    """`one`, `count` times at once; how often it was answered how."""
    with ThreadPoolExecutor(count) as pool:
        answers = list(pool.map(lambda _: _or_error(one), range(count)))
    return _counted(answers)


def _or_error(one: Callable[[], str]) -> str:
    try:
        return one()
    except OSError as error:
        return type(error).__name__


def _counted(answers: Iterable[str]) -> str:
    return ", ".join(f"{count} x {answer}" for answer, count in Counter(answers).most_common())


def _sent(connection: socket.socket, data: bytes) -> str:
    """Sends; empty, or how it failed: a server may answer and close before all has come."""
    try:
        connection.sendall(data)
    except TimeoutError:
        return "not read"
    except OSError as error:
        return _answered(connection, 0.0) if isinstance(error, ConnectionError) else type(error).__name__
    return ""


def _answered(connection: socket.socket, patience: float = _HELD) -> str:
    """The status that comes within some seconds, or what comes instead."""
    connection.settimeout(max(patience, 0.1))
    try:
        data = connection.recv(64)
    except TimeoutError:
        return "held"
    except OSError:
        return "closed"
    status = _STATUS.match(data)
    return status[1].decode("ascii") if status else "closed"
