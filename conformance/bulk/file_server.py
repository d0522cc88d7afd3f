"""A Data Provider's file server: what the server under test fetches when it is submitted, and what it sent to get it.

Plain HTTP/1.1, one request a connection. Files below `/protected/` need a token, which `/token` issues to anybody: the
server under test has to ask for one, and what it proves by its assertion is not judged here.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

_LONGEST = 64 * 1024  # bytes of a request
_PATIENCE = 30.0  # seconds for a request
METADATA = "/protected/.well-known/smart-configuration"
"""The path of the OAuth metadata."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A request. `headers`: by name in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]


@dataclass(slots=True)
class FileServer:
    """Files by path. `seen`: all requests. `scopes`: of the tokens that were issued."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    scopes: list[str] = field(default_factory=list)
    _server: asyncio.Server | None = None

    @classmethod
    async def start(cls, listen: str, url: str) -> FileServer:
        """Listens on `host:port`. `url`: by which the server under test reaches it; empty: http and that address."""
        host, _, port = listen.rpartition(":")
        found = cls(url.rstrip("/") or f"http://{listen}")
        found._server = await asyncio.start_server(found._connected, host, int(port), limit=_LONGEST)
        return found

    def close(self) -> None:
        """Stops listening."""
        if self._server is not None:
            self._server.close()

    def put(self, path: str, content: bytes) -> str:
        """Serves the content. Returns its URL."""
        self.files[path] = content
        return self.url + path

    def asked_for(self, url: str) -> list[Seen]:
        """The requests for this URL."""
        return [one for one in self.seen if self.url + one.path == url]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._answer(reader, writer)
        except (TimeoutError, OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # a client that does not speak HTTP gets no answer
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ", 2)
        pairs = [line.partition(":") for line in head[1:] if line]
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        body = await reader.readexactly(min(int(headers.get("content-length", "0")), _LONGEST))
        path = urlsplit(target).path
        self.seen.append(Seen(method, path, headers))
        status, content = self._content(method, path, headers, body)
        writer.write(
            f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n"
            f"Connection: close\r\n\r\n".encode()
        )
        writer.write(content)
        await writer.drain()

    def _content(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> tuple[str, bytes]:
        if path == METADATA:
            return "200 OK", json.dumps({"token_endpoint": f"{self.url}/token", "capabilities": []}).encode()
        if path == "/token" and method == "POST":
            form = parse_qs(body.decode("latin-1"))
            self.scopes += form.get("scope", [])
            token = {"access_token": f"token-{len(self.scopes)}", "token_type": "Bearer", "expires_in": 300}
            return "200 OK", json.dumps(token).encode()
        if path.startswith("/protected/") and not headers.get("authorization", "").startswith("Bearer token-"):
            return "401 Unauthorized", b""
        if path not in self.files:
            return "404 Not Found", b""
        return "200 OK", self.files[path]
