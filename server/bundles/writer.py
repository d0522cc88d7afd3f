"""Writes Bundles piece by piece from the stored bytes of their resources: no resource is parsed or encoded again.

All Bundles that the server makes are written here: `searchset`, `history`, `batch-response`, `transaction-response`.

https://hl7.org/fhir/R4/bundle.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

_PIECE = 1 << 16  # bytes that one ASGI message has at least, while there are more

encode = msgspec.json.Encoder().encode
"""Returns the JSON of ordinary Python values."""


def bundle(head: Mapping[str, object], entries: Iterable[Iterable[bytes]]) -> Iterator[bytes]:
    """Yields a Bundle. `head`: its members before `entry`, in order; `entries`: the pieces of each, as of `entry`."""
    yield encode({"resourceType": "Bundle", **head})[:-1]
    separator = b',"entry":['
    for pieces in entries:
        yield separator
        yield from pieces
        separator = b","
    yield b"}" if separator != b"," else b"]}"


def entry(
    rest: bytes, *, full_url: str | None = None, resource: bytes | Iterable[bytes] | None = None
) -> Iterator[bytes]:
    """Yields one entry. `rest`: a JSON object of the members after `resource`. `resource`: its JSON, or its pieces."""
    start = b"{"
    if full_url is not None:
        yield b'{"fullUrl":' + encode(full_url)
        start = b","
    if resource is not None:
        yield start + b'"resource":'
        if isinstance(resource, bytes):
            yield resource
        else:
            yield from resource
        start = b","
    yield start + rest[1:]


def links(urls: Mapping[str, str]) -> list[dict[str, str]]:
    """Returns `Bundle.link`. `urls`: by relation."""
    return [{"relation": relation, "url": url} for relation, url in urls.items()]


class PiecesResponse(Response):
    """Sends a body piece by piece, so that it is never in memory a second time."""

    def __init__(self, pieces: list[bytes], content_type: bytes) -> None:
        super().__init__(None, 200)
        self._pieces = pieces
        self._size = sum(map(len, pieces))
        self.raw_headers = [(b"content-type", content_type), (b"content-length", b"%d" % self._size)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        if self._size <= _PIECE:
            await send({"type": "http.response.body", "body": b"".join(self._pieces)})
            return
        waiting: list[bytes] = []
        size = 0
        for piece in self._pieces:
            waiting.append(piece)
            size += len(piece)
            if size >= _PIECE:
                await send({"type": "http.response.body", "body": b"".join(waiting), "more_body": True})
                waiting, size = [], 0
        await send({"type": "http.response.body", "body": b"".join(waiting)})
