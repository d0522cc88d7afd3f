"""The headers that every answer of the FHIR API carries, whatever it answers.

https://hl7.org/fhir/R4/http.html#custom: `X-Request-Id` is the client's, or made here; `X-Correlation-Id` is the
client's. Both go back as they came if they are printable and short. `Cache-Control`: a proxy keeps nothing, and what a
client keeps it must ask about before it shows it (304 if nothing changed), since rights end and resources are purged.
`Date` is the time of the answer itself, not the last tick of a timer, so that no Last-Modified is later.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import count

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from ulid import ULID

from server.access.tenant import HEADER as TENANT_HEADER
from server.http.http_dates import now_date
from server.settings import Settings

EXPOSED = (
    "ETag",
    "Location",
    "Content-Location",
    "Last-Modified",
    "Link",
    "Preference-Applied",
    "Retry-After",
    "X-Request-Id",
    "X-Correlation-Id",
    "X-Security-Context",
)
_ECHOED = re.compile(rb"[\x21-\x7e]{1,128}")


class ResponseHeaders:
    """Adds them. A request id made here is this process's ULID and the request's number in it."""

    def __init__(self, settings: Settings) -> None:
        vary = "Accept, Accept-Encoding" + (f", {TENANT_HEADER}" if settings.tenant_source == "header" else "")
        self._always = (
            (b"cache-control", b"private, no-cache"),
            (b"vary", vary.encode("ascii")),
        )
        self._process = str(ULID()).encode("ascii")
        self._numbers = count(1)

    def request_id(self, headers: Mapping[bytes, bytes]) -> bytes:
        """The id of a request with these headers: the client's, or a new one."""
        asked = headers.get(b"x-request-id")
        if asked is None or not _ECHOED.fullmatch(asked):
            return b"%s-%d" % (self._process, next(self._numbers))
        return asked

    def add(self, response: Response, headers: Mapping[bytes, bytes], request_id: bytes) -> None:
        """To the answer to that request."""
        response.raw_headers.append((b"date", now_date().encode("ascii")))
        response.raw_headers.append((b"x-request-id", request_id))
        response.raw_headers.extend(self._always)
        correlation = headers.get(b"x-correlation-id")
        if correlation is not None and _ECHOED.fullmatch(correlation):
            response.raw_headers.append((b"x-correlation-id", correlation))


class Dated:
    """An app whose answers all carry a Date; those that have one keep it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start" and not any(key == b"date" for key, _ in message["headers"]):
                message["headers"] = [*message["headers"], (b"date", now_date().encode("ascii"))]
            await send(message)

        await self._app(scope, receive, dated)
