"""A bulk data server of sorts: real HTTP, with answers that a test scripts. It remembers every request."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from server.commands.export import ExportSummary, Order, Pace, export
from server.commands.retries import Retries

SWIFT = Retries(attempts=4, first=0.001, longest=0.01, patience=0.01)
SWIFT_PACE = Pace(first=0.001, longest=0.01, patience=0.01)
TIME = "2026-11-28T06:00:00.000Z"


@dataclass
class File:
    """A file of the server. `cuts`: its connection is cut after so many bytes, one cut a request.

    `answers`: given before the file itself is. `etag`: None for none. `zipped`: gzip is served to who accepts it;
    `zipped_ranges`: and ranges of that.
    """

    body: bytes
    etag: str | None = ""
    zipped: bool = False
    zipped_ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    answers: list[web.Response] = field(default_factory=list)
    hold: asyncio.Event | None = None

    def validator(self, body: bytes) -> str | None:
        return f'"{hashlib.sha256(body).hexdigest()[:16]}"' if self.etag == "" else self.etag


@dataclass
class Got:
    """A request that came."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: Mapping[str, str]
    body: bytes


@dataclass
class BulkServer:
    """The server. `polls`: answers of the status, in order, before it is complete; None means 202."""

    url: str
    files: dict[str, File] = field(default_factory=dict)
    kick_offs: list[web.Response] = field(default_factory=list)
    polls: list[web.Response | None] = field(default_factory=list)
    pages: list[dict[str, object]] = field(default_factory=list)
    got: list[Got] = field(default_factory=list)
    deletes: int = 202
    gone: bool = False
    on_poll: Callable[[], None] = lambda: None

    @property
    def base(self) -> str:
        return f"{self.url}/fhir"

    def add(self, name: str, lines: int | bytes, **more: object) -> File:
        """A file with so many resources, or with these bytes."""
        body = lines if isinstance(lines, bytes) else ndjson(name.partition(".")[0], lines)
        self.files[name] = File(body, **more)  # type: ignore[arg-type]  # the test names them
        return self.files[name]

    def item(self, name: str, **more: object) -> dict[str, object]:
        """How a manifest lists the file: with the true count."""
        count = self.files[name].body.count(b"\n") if name in self.files else 1
        return {"type": name.partition(".")[0], "url": f"{self.url}/files/{name}", "count": count, **more}

    def manifest(self, *names: str, **more: object) -> dict[str, object]:
        """A manifest as version 3.0 has it."""
        return {
            "transactionTime": TIME,
            "request": f"{self.base}/$export",
            "requiresAccessToken": False,
            "output": [self.item(name) for name in names],
            "error": [],
            **more,
        }

    def served(self, name: str) -> list[Got]:
        """The requests for a file."""
        return [got for got in self.got if got.path == f"/files/{name}"]

    def asked(self, method: str, path: str) -> list[Got]:
        """The requests of a method and path."""
        return [got for got in self.got if (got.method, got.path) == (method, path)]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.got.append(Got(request.method, request.path, list(request.query.items()), dict(request.headers), body))
        if request.path == "/fhir/metadata":
            return web.json_response({"resourceType": "CapabilityStatement"})
        if request.path.startswith("/fhir/") and request.path.endswith("$export"):
            if self.kick_offs:
                return self.kick_offs.pop(0)
            return web.Response(status=202, headers={"Content-Location": f"{self.url}/status/0"})
        if request.path.startswith("/status/"):
            return self._status(request)
        return await self._file(request)

    def _status(self, request: web.Request) -> web.Response:
        if self.gone:
            return outcome(404, "no such job", code="not-found")
        if request.method == "DELETE":
            self.gone = self.deletes == 202
            return web.Response(status=self.deletes)
        self.on_poll()
        if self.polls:
            answer = self.polls.pop(0)
            return answer or web.Response(status=202, headers={"X-Progress": "working"})
        return web.json_response(self.pages[int(request.path.rpartition("/")[2])])

    async def _file(self, request: web.Request) -> web.StreamResponse:
        file = self.files.get(request.path.removeprefix("/files/"))
        if file is None:
            return outcome(404, "no such file", code="not-found")
        if file.answers:
            return file.answers.pop(0)
        zipped = file.zipped and "gzip" in request.headers.get("Accept-Encoding", "")
        body = gzip.compress(file.body, mtime=0) if zipped else file.body
        headers = {"Content-Type": "application/fhir+ndjson"} | ({"Content-Encoding": "gzip"} if zipped else {})
        validator = file.validator(body)
        headers |= {"ETag": validator} if validator else {}
        start, status = 0, 200
        asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        if asked and (file.zipped_ranges or not zipped) and request.headers.get("If-Range", validator) == validator:
            start, status = int(asked[1]), 206
            if start >= len(body):
                return web.Response(status=416, headers={"Content-Range": f"bytes */{len(body)}"})
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        response = web.StreamResponse(status=status, headers=headers)
        response.content_length = len(body) - start
        await response.prepare(request)
        part = body[start:]
        cut = file.cuts.pop(0) if file.cuts else None
        await response.write(part[:cut])
        if file.hold is not None:
            await file.hold.wait()
        if cut is not None:
            await asyncio.sleep(0.02)  # what was written is on its way
            assert request.transport is not None
            request.transport.abort()
        return response


def ndjson(type_: str, lines: int) -> bytes:
    """So many resources, one a line."""
    return b"".join(
        b'{"resourceType":"%s","id":"%d","x":"%s"}\n' % (type_.encode(), n, b"y" * 50) for n in range(lines)
    )


def outcome(status: int, diagnostics: str, *, code: str = "invalid", **headers: str) -> web.Response:
    """An answer with an OperationOutcome."""
    issue = [{"severity": "error", "code": code, "diagnostics": diagnostics}]
    body = json.dumps({"resourceType": "OperationOutcome", "issue": issue})
    return web.Response(status=status, text=body, content_type="application/fhir+json", headers=headers)


@asynccontextmanager
async def bulk_server() -> AsyncIterator[BulkServer]:
    """The server on a free port."""
    server = BulkServer("")
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        for file in server.files.values():
            if file.hold is not None:
                file.hold.set()
        await runner.cleanup()


async def run(server: BulkServer, folder: object, **options: object) -> ExportSummary:
    """Exports from the server, without long waits. What an Order has goes into it."""
    fields = {name: options.pop(name) for name in list(options) if name in Order.__struct_fields__}
    order = Order(base=server.base, **fields)  # type: ignore[arg-type]  # the test names them
    return await export(order, folder, retries=SWIFT, pace=SWIFT_PACE, **options)  # type: ignore[arg-type]  # the same


async def until(condition: Callable[[], bool]) -> None:
    """Waits until it is so."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what it waits for sets no event
            await asyncio.sleep(0.01)
