"""Serves local files to the server of a submission, as long as that lasts: plain HTTP, under paths nobody can guess.

Served are exactly the files that were looked up, each under a path that holds a hash of the submission's random id. A
file that is compressed is sent unpacked; others with their ETag and with ranges, so that a cut download can go on.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import quote, urlsplit

from aiohttp import web

from fhirstore.threads import in_thread
from server.commands.submit.order import CannotSubmit, Listed

_CHUNK = 256 * 1024  # bytes
_NDJSON = "application/fhir+ndjson"
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen, which is also what the server is told. `port` 0: any free one."""

    host: str
    port: int = 0

    @classmethod
    def of(cls, text: str) -> Address:
        """Reads HOST[:PORT]. Raises CannotSubmit."""
        parts = urlsplit(f"//{text}")
        try:
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if not host or parts.path or parts.query or parts.username is not None:
            raise CannotSubmit("--serve: HOST or HOST:PORT, an address of this machine that the server can reach")
        return cls(host, port or 0)


@dataclass(slots=True)
class FileServer:
    """What is served. `base`: of the URLs, with the secret in it. `served`: bytes sent of each file, at most once."""

    base: str
    origin: str
    manifests: dict[str, bytes] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    urls: tuple[str, ...] = ()
    reached: dict[str, int] = field(default_factory=dict)

    @property
    def read(self) -> int:
        """Bytes of the files, as stored, that were sent so far."""
        return sum(self.reached.values())

    def url_of(self, page: int) -> str:
        """Returns the URL of a page of the manifest."""
        return f"{self.base}/manifest-{page}.json"


@asynccontextmanager
async def serving(address: Address, listed: tuple[Listed, ...], secret: str) -> AsyncIterator[FileServer]:
    """Serves the files while it is open. Raises CannotSubmit where the address is not this machine's, or is taken."""
    hidden = hashlib.sha256(f"fhirstore submit {secret}".encode()).hexdigest()[:40]
    server = FileServer("", "")
    runner = web.ServerRunner(web.Server(lambda request: _answer(server, hidden, request)), shutdown_timeout=1)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, address.host, address.port).start()
        except OSError as error:
            raise CannotSubmit(f"--serve {address.host}: {error.strerror or error}") from error
        host = f"[{address.host}]" if ":" in address.host else address.host
        server.origin = f"http://{host}:{runner.addresses[0][1]}"
        server.base = f"{server.origin}/{hidden}"
        files: dict[str, Path] = {}
        urls: list[str] = []
        for number, one in enumerate(listed, 1):
            if one.path is None:
                urls.append(one.url)
                continue
            name = f"{number}/{one.path.name.removesuffix('.gz')}"
            files[f"/{hidden}/{name}"] = one.path
            urls.append(f"{server.base}/{quote(name)}")
        server.files, server.urls = files, tuple(urls)
        yield server
    finally:
        await runner.cleanup()


async def _answer(server: FileServer, hidden: str, request: web.BaseRequest) -> web.StreamResponse:
    if request.method not in {"GET", "HEAD"}:
        return web.Response(status=405, headers={"Allow": "GET, HEAD"})
    manifest = server.manifests.get(f"{server.origin}{request.rel_url.raw_path}")
    if manifest is not None:
        return web.Response(body=manifest, content_type="application/json")
    path = server.files.get(request.rel_url.path)
    if path is None:
        return web.Response(status=404)
    try:
        file = await in_thread(path.open, "rb")
    except OSError:
        return web.Response(status=404)
    try:
        return await _send(server, request, path, cast("BinaryIO", file))
    finally:
        file.close()


async def _send(server: FileServer, request: web.BaseRequest, path: Path, stored: BinaryIO) -> web.StreamResponse:
    facts = os.fstat(stored.fileno())
    packed = path.name.endswith(".gz")
    body = cast("BinaryIO", gzip.GzipFile(fileobj=stored)) if packed else stored
    headers = {"Content-Type": _NDJSON}
    start = 0
    if not packed:
        etag = f'"{facts.st_mtime_ns:x}-{facts.st_size:x}-{facts.st_ino:x}"'
        headers |= {"ETag": etag, "Accept-Ranges": "bytes"}
        start = _start(request, etag, facts.st_size)
    response = web.StreamResponse(status=206 if start else 200, headers=headers)
    if start:
        response.headers["Content-Range"] = f"bytes {start}-{facts.st_size - 1}/{facts.st_size}"
        stored.seek(start)
    if not packed:
        response.content_length = facts.st_size - start
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    while True:
        try:
            chunk = await in_thread(body.read, _CHUNK)
        except (OSError, EOFError, zlib.error):
            # Cut, so that the server does not take what it has for the whole file.
            if request.transport is not None:
                request.transport.abort()
            return response
        if not chunk:
            break
        await response.write(chunk)
        server.reached[path.as_posix()] = max(server.reached.get(path.as_posix(), 0), stored.tell())
    await response.write_eof()
    return response


def _start(request: web.BaseRequest, etag: str, size: int) -> int:
    """Returns the first byte that is asked for by `Range: bytes=N-`; 0 for any other range, which may be left aside."""
    unit, _, asked = request.headers.get("Range", "").partition("=")
    first, _, last = asked.partition("-")
    if unit != "bytes" or last or not first.isdecimal() or request.headers.get("If-Range", etag) != etag:
        return 0
    return int(first) if int(first) < size else 0
