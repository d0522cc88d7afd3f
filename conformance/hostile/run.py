"""The run: hostile requests at once, honest clients beside them, and what the server is like afterwards."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from conformance.abuse.memory import watched
from conformance.abuse.target import Target
from conformance.hostile.requests import Place, hostile

FINE = frozenset({501, 503, 505})
"""Statuses from 500 on that a server may answer: what it lacks, its load, and the client's version of HTTP."""

_STATUS = re.compile(rb"HTTP/1\.1 ([0-9]{3})")
_HONEST = 4  # clients
_KEPT = 20  # findings


@dataclass(slots=True)
class Told:
    """What came of a run. `statuses`: of hostile requests; 0: closed or left without an answer.

    `wrong`: what must not be, a sentence for each. `slowest`: seconds of the slowest honest request.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    by_shape: dict[str, Counter[int]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    honest: int = 0
    slowest: float = 0.0
    seconds: float = 0.0
    memory_before: int = 0
    memory_peak: int = 0

    def complain(self, sentence: str) -> None:
        """Keeps the first findings, each once."""
        if sentence not in self.wrong and len(self.wrong) < _KEPT:
            self.wrong.append(sentence)


async def run(
    target: Target, *, seed: int, count: int, at_once: int, pid: int | None, say: Callable[[str], None] = lambda _: None
) -> Told:
    """Sends `count` requests, `at_once` at a time. `pid`: of the server, to know its memory."""
    told = Told()
    place = Place(f"{target.host}:{target.port}", target.base)
    numbers = iter(range(count))
    over = asyncio.Event()

    async def attack() -> None:
        for number in numbers:
            if number % 500 == 0:
                say(f"{number} of {count}")
            request = hostile(seed, number, place)
            status = await _status(target, request.sent)
            told.statuses[status] += 1
            told.by_shape.setdefault(request.shape, Counter())[status] += 1
            if status >= 500 and status not in FINE:
                told.complain(f"request {number} of seed {seed} ({request.shape}) was answered {status}")

    began = time.monotonic()
    with watched(pid) as memory:
        honest = [asyncio.create_task(_be_honest(target, client, over, told)) for client in range(_HONEST)]
        await asyncio.gather(*(attack() for _ in range(at_once)))
        over.set()
        await asyncio.gather(*honest)
    told.seconds = time.monotonic() - began
    told.memory_before, told.memory_peak = memory.before, memory.peak
    await _look_afterwards(target, told)
    return told


async def _status(target: Target, sent: bytes) -> int:
    """Sends one request on a connection of its own. Returns the status of the first answer; 0: there was none."""
    received = b""
    with suppress(OSError, TimeoutError):
        reader, writer = await asyncio.open_connection(target.host, target.port)
        try:
            async with asyncio.timeout(target.patience):
                sending = asyncio.create_task(_send(writer, sent))
                try:
                    while len(received) < 64 and (more := await reader.read(65_536)):
                        received += more
                finally:
                    sending.cancel()
                    await asyncio.wait([sending])
        finally:
            writer.transport.abort()
    found = _STATUS.match(received)
    return int(found[1]) if found else 0


async def _send(writer: asyncio.StreamWriter, sent: bytes) -> None:
    with suppress(OSError):
        writer.write(sent)
        await writer.drain()


async def _be_honest(target: Target, client: int, over: asyncio.Event, told: Told) -> None:
    """Writes a resource, reads it back, until it is over. A refusal because of the load (429, 503) is fine."""
    number = 0
    while not over.is_set():
        number += 1
        body = {"resourceType": "Patient", "id": f"honest-{client}", "multipleBirthInteger": number}
        began = time.monotonic()
        put = await asyncio.to_thread(_ask, target, "PUT", f"/Patient/honest-{client}", body)
        got = await asyncio.to_thread(_ask, target, "GET", f"/Patient/honest-{client}", None)
        told.slowest = max(told.slowest, (time.monotonic() - began) / 2)
        told.honest += 2
        if put[0] not in (200, 201, 429, 503):
            told.complain(f"an honest write was answered {put[0] or 'not at all'}")
        elif put[0] in (200, 201) and got[0] == 200 and json.loads(got[1])["multipleBirthInteger"] != number:
            told.complain("an honest read did not show the write before it")
        elif got[0] not in (200, 404, 429, 503):
            told.complain(f"an honest read was answered {got[0] or 'not at all'}")
        await asyncio.sleep(0.02)


async def _look_afterwards(target: Target, told: Told) -> None:
    """The server is ready, and an honest client is served."""
    status, _ = await asyncio.to_thread(_ask, target, "GET", "/metadata", None)
    ready = Target(target.host, target.port, "", target.patience)
    health, _ = await asyncio.to_thread(_ask, ready, "GET", "/health/ready", None)
    if (status, health) != (200, 200):
        told.complain(f"afterwards /metadata is answered {status}, and /health/ready {health}")
    for client in range(_HONEST):
        status, _ = await asyncio.to_thread(_ask, target, "GET", f"/Patient/honest-{client}", None)
        if status != 200:
            told.complain(f"afterwards an honest resource is answered {status}")


def _ask(target: Target, method: str, path: str, body: object) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(target.host, target.port, timeout=60)
    try:
        content = None if body is None else json.dumps(body)
        connection.request(method, target.base + path, content, {"Content-Type": "application/fhir+json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()
