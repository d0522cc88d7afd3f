"""The headers of every answer of the FHIR API.

https://hl7.org/fhir/R4/http.html#custom: `X-Request-Id` is the client's, or made here; `X-Correlation-Id` is the
client's. Both are returned as they were sent if they are printable and short. `Cache-Control`: a proxy stores nothing,
and a client must revalidate what it has stored (304 if nothing changed), since rights end and resources are purged.
`Date` is the time of the answer itself, not of the last tick of a timer, so that no Last-Modified is later.
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
    "Expires",
    "X-Progress",
    "X-Export-Status",
    "Accept-Ranges",
    "Content-Disposition",
    "Content-Range",
    "Repr-Digest",
    "X-Request-Id",
    "X-Correlation-Id",
    "X-Security-Context",
    "WWW-Authenticate",
    "Upload-Offset",
    "Upload-Length",
)
_ECHOED = re.compile(rb"[\x21-\x7e]{1,128}")


# What a browser may do with an answer, whatever it holds: nothing but show it.
_FOR_BROWSERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; sandbox"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


def _security(settings: Settings) -> tuple[tuple[bytes, bytes], ...]:
    hsts = settings.hsts_seconds
    return (*_FOR_BROWSERS, *([(b"strict-transport-security", b"max-age=%d" % hsts)] if hsts else []))


class ResponseHeaders:
    """Adds these headers. A request id that is made here is the process's ULID and the request's number."""

    def __init__(self, settings: Settings) -> None:
        vary = "Accept, Accept-Encoding" + (f", {TENANT_HEADER}" if settings.tenant_source == "header" else "")
        self._always = (
            (b"cache-control", b"private, no-cache"),
            (b"vary", vary.encode("ascii")),
            *_security(settings),
        )
        self._process = str(ULID()).encode("ascii")
        self._numbers = count(1)

    def request_id(self, headers: Mapping[bytes, bytes]) -> bytes:
        """Returns the id of a request with these headers: the client's, or a new one."""
        asked = headers.get(b"x-request-id")
        if asked is None or not _ECHOED.fullmatch(asked):
            return b"%s-%d" % (self._process, next(self._numbers))
        return asked

    def add(self, response: Response, headers: Mapping[bytes, bytes], request_id: bytes) -> None:
        """Adds the headers to the answer to a request with these headers and this id."""
        response.raw_headers.append((b"date", now_date().encode("ascii")))
        response.raw_headers.append((b"x-request-id", request_id))
        response.raw_headers.extend(self._always)
        correlation = headers.get(b"x-correlation-id")
        if correlation is not None and _ECHOED.fullmatch(correlation):
            response.raw_headers.append((b"x-correlation-id", correlation))


class Completed:
    """Wraps an app: adds Date and what browsers are told to answers that do not have it."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._always = _security(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def completed(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {key for key, _ in message["headers"]}
                wanted = ((b"date", now_date().encode("ascii")), *self._always)
                message["headers"] = [*message["headers"], *(one for one in wanted if one[0] not in there)]
            await send(message)

        await self._app(scope, receive, completed)
