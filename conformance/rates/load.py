"""A lean HTTP/1.1 load generator: it shares the machine with the server it measures, so it must cost little.

N keep-alive connections, one request in flight on each. Requests are bytes made before they are needed; of an
answer only the status, the length and, where asked, the Location are looked at. A connection that the server
closes is opened again. Rules of message length: https://www.rfc-editor.org/rfc/rfc9112#section-6
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
LOCATION = re.compile(rb"\r\nlocation: *([^\r]+)", re.IGNORECASE)
DRAIN_SECONDS = 60.0  # how long the last answers may take after the time is over


class LoadFailed(Exception):
    """The server under load could not be reached, or stopped answering."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go. `path` is what stands before `/Patient`: `/fhir`, or nothing."""

    host: str
    port: int
    path: str = ""
    tls: bool = False

    @classmethod
    def of(cls, url: str) -> Target:
        """The target that an http(s) base URL names."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise LoadFailed(f"not an http or https URL: {url}")
        tls = parts.scheme == "https"
        return cls(parts.hostname, parts.port or (443 if tls else 80), parts.path.rstrip("/"), tls)

    def request(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
        """One request as it goes over the wire; `path` is relative to the base."""
        lines = [f"{method} {self.path}{path} HTTP/1.1", f"Host: {self.host}:{self.port}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if body or method in ("POST", "PUT"):
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*lines, "\r\n"]).encode() + body


@dataclass(frozen=True, slots=True)
class Tally:
    """What came of one run: answers per status (0: the connection broke instead), and how long it took.

    `latencies`: seconds from each request to the end of its answer, where they were asked for.
    """

    seconds: float
    statuses: dict[int, int]
    locations: tuple[str, ...] = ()
    latencies: tuple[float, ...] = ()

    @property
    def requests(self) -> int:
        return sum(self.statuses.values())

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.requests / self.seconds if self.seconds else 0.0

    def others(self, expected: tuple[int, ...]) -> dict[int, int]:
        """The answers whose status is none of those expected."""
        return {status: count for status, count in self.statuses.items() if status not in expected}


@dataclass(slots=True)
class _Run:
    """What the connections of one run share."""

    requests: Iterator[bytes]
    deadline: float
    keep_locations: bool
    keep_latencies: bool = False
    statuses: Counter[int] = field(default_factory=Counter)
    locations: list[str] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    over: bool = False
    refused: OSError | None = None

    def next(self) -> bytes | None:
        """The next request to send; None once the time is over or no request is left."""
        if not self.over and time.perf_counter() < self.deadline:
            request = next(self.requests, None)
            if request is not None:
                return request
        self.over = True
        return None


class _Connection(asyncio.Protocol):
    """Sends, waits for the whole answer, sends the next."""

    transport: asyncio.Transport

    def __init__(self, run: _Run, closed: asyncio.Future[None]) -> None:
        self.run = run
        self.closed = closed
        self.buffer = b""
        self.waiting = False
        self.sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transports are not its subclasses
        self.send()

    def send(self) -> None:
        request = self.run.next()
        if request is None:
            self.transport.close()
        else:
            self.waiting = True
            self.sent = time.perf_counter()
            self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        buffer = self.buffer + data if self.buffer else data
        split = buffer.find(b"\r\n\r\n")
        end = -1 if split < 0 else message_end(buffer, split + 4)
        if end < 0 or len(buffer) < end:
            self.buffer = buffer
            return
        self.buffer = buffer[end:]
        self.waiting = False
        head = buffer[: split + 2]
        self.run.statuses[int(head[9:12])] += 1
        if self.run.keep_latencies:
            self.run.latencies.append(time.perf_counter() - self.sent)
        if self.run.keep_locations and (location := LOCATION.search(head)):
            self.run.locations.append(location[1].decode("latin-1"))
        if CLOSE.search(head):
            self.transport.close()
        else:
            self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.waiting:
            self.run.statuses[0] += 1
        if not self.closed.done():
            self.closed.set_result(None)


def message_end(buffer: bytes, start: int) -> int:
    """Where the answer ends whose body begins at `start`; -1 while that cannot be told."""
    head = buffer[: start - 2]
    if length := LENGTH.search(head):
        return start + int(length[1])
    if not CHUNKED.search(head):
        return start  # 204 and 304; other statuses always come with one or the other on a kept connection
    while (line := buffer.find(b"\r\n", start)) >= 0:
        size = int(buffer[start:line].split(b";")[0], 16)
        start = line + 2 + size + 2
        if size == 0:
            return start
        if start > len(buffer):
            break
    return -1


async def offer(
    target: Target,
    requests: Iterator[bytes],
    *,
    connections: int,
    seconds: float,
    keep_locations: bool = False,
    keep_latencies: bool = False,
) -> Tally:
    """Send `requests` over `connections` for `seconds`, or until there are no more; every answer is waited for."""
    begin = time.perf_counter()
    run = _Run(requests, begin + seconds, keep_locations, keep_latencies)
    try:
        async with asyncio.timeout(seconds + DRAIN_SECONDS), asyncio.TaskGroup() as group:
            for _ in range(connections):
                group.create_task(_keep_open(target, run))
    except TimeoutError as timeout:
        raise LoadFailed(f"no answer within {DRAIN_SECONDS:.0f} s of the end of a run") from timeout
    if run.refused is not None:
        raise LoadFailed(f"cannot connect to {target.host}:{target.port}") from run.refused
    return Tally(time.perf_counter() - begin, dict(run.statuses), tuple(run.locations), tuple(run.latencies))


async def _keep_open(target: Target, run: _Run) -> None:
    """One connection's life: opened again as often as the server closes it before the run is over."""
    loop = asyncio.get_running_loop()
    context = ssl.create_default_context() if target.tls else None
    while not run.over:
        closed: asyncio.Future[None] = loop.create_future()
        connection = _Connection(run, closed)
        try:
            transport, _ = await loop.create_connection(lambda c=connection: c, target.host, target.port, ssl=context)
        except OSError as refused:
            run.refused, run.over = refused, True
            return
        try:
            await closed
        finally:
            transport.abort()
