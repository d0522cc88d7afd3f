"""An answer to a request whose body was not read to its end.

Many clients write the whole body before they read. If the server closed the connection then, the unread bytes would
reset it, and the reset can overtake the answer. So the whole answer is sent at once, then what still arrives is read
and dropped, up to a limit in bytes and seconds, and then the connection is closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from fhirstore.errors import FhirStoreError

_MOST_BYTES = 64 * 1024 * 1024
_MOST_SECONDS = 5.0


class Unread(Exception):
    """A request failed for this reason while its client may still be sending the body."""

    def __init__(self, why: Exception) -> None:
        super().__init__()
        self.why = why


@contextmanager
def before_body() -> Iterator[None]:
    """Raises Unread around the errors of what is done before the body is read."""
    try:
        yield
    except (HTTPException, FhirStoreError) as error:
        raise Unread(error) from error


class UnreadResponse(Response):
    """Answers with `Connection: close` and drops the rest of the body before the connection is closed."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.headers["Connection"] = "close"
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        with suppress(TimeoutError):
            async with asyncio.timeout(_MOST_SECONDS):
                await _drop(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _drop(receive: Receive) -> None:
    dropped = 0
    while dropped <= _MOST_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return
        dropped += len(message.get("body", b""))
