"""Sends one resource (PUT with an id, POST without) or a Bundle (POST), and repeats the request where that is safe.

A request may be repeated after 429, 502, 503 and 504, and when the connection fails. A PUT always may. A POST may only
if it certainly did nothing (there was no connection, or 429, or 503); otherwise its result is unknown, and repeating it
might create the resource twice.

https://hl7.org/fhir/R4/http.html#update · https://hl7.org/fhir/R4/http.html#create
· https://www.rfc-editor.org/rfc/rfc9110#name-retry-after
"""

from __future__ import annotations

import asyncio
import io
from dataclasses import dataclass, replace
from urllib.parse import quote

import aiohttp

from fhirstore.clock import Clock, Ids
from server.commands.load.answers import Result, fates
from server.commands.load.reading import Bundle, Resource
from server.commands.outcomes import Cause, cause_of
from server.commands.retries import BUSY, DID_NOTHING, NEVER_SENT, NO_ANSWER, Retries, seconds_asked

_AT_ONCE = 1 << 19  # bytes that are written to the socket at once; a longer body is written in pieces


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one resource, after `retries` further requests. `cause`: None when it is stored."""

    source: str
    type: str
    result: Result
    size: int
    retries: int
    cause: Cause | None = None


class Sender:
    """Sends resources below `base`. `lost`: no attempt of a request got a connection."""

    def __init__(self, client: aiohttp.ClientSession, base: str, *, retries: Retries, clock: Clock, ids: Ids) -> None:
        self.lost = False
        self._client = client
        self._base = base
        self._retries = retries
        self._clock = clock
        self._ids = ids

    async def send(self, resource: Resource) -> Outcome:
        """Sends until there is a final answer. Does not raise for errors of the server or of the network."""
        method, url = "POST", f"{self._base}/{resource.type}"
        if resource.id is not None:
            method, url = "PUT", f"{url}/{quote(resource.id, safe='')}"
        answer, retries = await self._send(method, url, resource.body)
        return Outcome(resource.source, resource.type, answer.result, len(resource.body), retries, answer.cause)

    async def process(self, bundle: Bundle) -> list[Outcome]:
        """Sends a Bundle to be processed, as `send`. Returns an outcome for each entry."""
        answer, retries = await self._send("POST", self._base, bundle.body)
        found = fates(answer.content, bundle.requests) if answer.cause is None else None
        if found is None:
            cause = answer.cause or Cause(
                200, "incomplete", "The answer does not have one entry for each that was sent"
            )
            result: Result = answer.result if answer.cause else "unknown"
            found = [(result, cause) for _ in bundle.requests]
        outcomes = [
            Outcome(f"{bundle.source} entry[{n}]", request.type or "(unknown)", result, 0, 0, cause)
            for n, (request, (result, cause)) in enumerate(zip(bundle.requests, found, strict=True))
        ]
        if outcomes:
            outcomes[0] = replace(outcomes[0], size=len(bundle.body), retries=retries)
        return outcomes

    async def _send(self, method: str, url: str, content: bytes) -> tuple[_Answer, int]:
        """Returns the final answer, and how often the request was repeated."""
        attempt = 0
        while True:
            attempt += 1
            answer = await self._request(method, url, content)
            last = attempt >= self._retries.attempts
            if answer.repeat and not last:
                await asyncio.sleep(self._retries.pause(attempt, asked=answer.asked, ids=self._ids))
                continue
            self.lost = self.lost or (answer.no_server and last)
            return answer, attempt - 1

    async def _request(self, method: str, url: str, content: bytes) -> _Answer:
        body = content if len(content) <= _AT_ONCE else io.BytesIO(content)
        try:
            async with self._client.request(method, url, data=body, allow_redirects=False) as response:
                content = await response.read()
        except NO_ANSWER as error:
            cause = Cause(0, "transient", f"No answer: {type(error).__name__}")
            if isinstance(error, NEVER_SENT):
                return _Answer("failed", cause, repeat=True, no_server=True)
            return _Answer("unknown", cause, repeat=method == "PUT")
        status = response.status
        if 200 <= status < 300:
            return _Answer("created" if status == 201 else "updated", content=content)
        return _Answer(
            "unknown" if status in BUSY - DID_NOTHING else "failed",
            cause_of(status, response.reason or "", content),
            repeat=status in DID_NOTHING or (status in BUSY and method == "PUT"),
            asked=seconds_asked(response.headers.get("Retry-After", "").strip(), now=self._clock.now()),
        )


@dataclass(frozen=True, slots=True)
class _Answer:
    """The answer to one request: the result if it is the last one, and whether it may be repeated."""

    result: Result
    cause: Cause | None = None
    repeat: bool = False
    asked: float = 0.0
    no_server: bool = False
    content: bytes = b""
