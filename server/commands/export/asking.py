"""Requests to the server of an export, and to the hosts of its files.

The token and the tenant go to the origin (scheme, host and port) of the FHIR base alone, whatever URL the server names
and wherever it redirects to. Each wait has a deadline; a request that may be sent again is, as `Retries` says.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urljoin

import aiohttp

from fhirstore.clock import Clock, Ids
from server.commands.outcomes import cause_of, outcome_in
from server.commands.retries import BUSY, NO_ANSWER, Retries, seconds_asked
from server.commands.urls import origin_of, shown

SECONDS = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=120)
SMALL = aiohttp.ClientTimeout(total=300, sock_connect=10, sock_read=120)
_REDIRECTS = 5
_MOVED = frozenset({301, 302, 303, 307, 308})
_TRANSIENT = frozenset({"transient", "lock-error", "no-store", "exception", "timeout", "incomplete", "throttled"})


class ExportFailed(Exception):
    """The export ends here; the message says why. `over`: the job itself is lost, and cannot be gone on with."""

    def __init__(self, message: str, *, over: bool = False) -> None:
        super().__init__(message)
        self.over = over


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that was read whole. `asked`: seconds of Retry-After, 0 without."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes
    asked: float

    @property
    def transient(self) -> bool:
        """Whether the same request may do better later: the server is busy, or says so in its OperationOutcome."""
        if self.status in BUSY or self.status == 408:
            return True
        outcome = outcome_in(self.body) if self.status >= 500 else None
        return outcome is not None and any(issue.code in _TRANSIENT for issue in outcome.issue)

    def told(self, what: str) -> str:
        """Returns a message: `what` failed, the status, and the server's own words."""
        cause = cause_of(self.status, self.reason, self.body)
        words = " ".join(filter(None, (cause.code, cause.diagnostics)))
        return f"{what} was answered {self.status}{f': {words}' if words else ''}"


class Asker:
    """Sends requests for one export of the FHIR server at `base`. `repeated`: how many were sent again."""

    def __init__(
        self,
        client: aiohttp.ClientSession,
        base: str,
        *,
        token: str | None,
        tenant: str | None,
        retries: Retries,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self.retries = retries
        self.repeated = 0
        self._client = client
        self._origin = origin_of(base)
        self._token = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._tenant = {} if tenant is None else {"X-Tenant-ID": tenant}
        self._clock = clock
        self._ids = ids

    def is_own(self, url: str) -> bool:
        """Whether the URL has the origin of the FHIR base, to which alone credentials go."""
        return origin_of(url) == self._origin

    @asynccontextmanager
    async def open(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        *,
        with_token: bool = True,
        body: bytes | None = None,
        timeout: aiohttp.ClientTimeout = SECONDS,
        decompress: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Sends a request, follows the redirects of a GET, and yields the answer before its body.

        Raises ExportFailed for redirects that must not be followed, and what NO_ANSWER names.
        """
        for _ in range(_REDIRECTS + 1):
            sent = {**headers, **self._credentials(url, with_token=with_token)}
            async with self._client.request(
                method,
                url,
                headers=sent,
                data=body,
                allow_redirects=False,
                timeout=timeout,
                auto_decompress=decompress,
            ) as response:
                location = response.headers.get("Location")
                if method != "GET" or response.status not in _MOVED or location is None:
                    yield response
                    return
            target = urljoin(url, location)
            if origin_of(target) is None or (url.startswith("https:") and not target.startswith("https:")):
                raise ExportFailed(f"{shown(url)} redirects to {shown(target)}, which is not followed")
            url = target
        raise ExportFailed(f"{shown(url)}: more than {_REDIRECTS} redirects")

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], *, limit: int, body: bytes | None = None
    ) -> Answer:
        """Sends a request, and reads an answer of at most `limit` bytes. Raises ExportFailed, and as NO_ANSWER."""
        async with self.open(method, url, headers, body=body, timeout=SMALL, decompress=True) as response:
            content = bytearray()
            async for piece in response.content.iter_any():
                content += piece
                if len(content) > limit:
                    raise ExportFailed(f"{shown(url)}: the answer is longer than {limit >> 20} MB")
            return Answer(
                response.status, response.reason or "", response.headers, bytes(content), self.asked_in(response)
            )

    async def ask(
        self, method: str, url: str, headers: Mapping[str, str], *, limit: int, body: bytes | None = None
    ) -> Answer:
        """Does `send` until there is an answer that is not transient, or the retries are used up.

        Returns the last answer. Raises ExportFailed where there was none.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                answer = await self.send(method, url, headers, limit=limit, body=body)
                if not answer.transient or attempt >= self.retries.attempts:
                    return answer
                asked = answer.asked
            except NO_ANSWER as error:
                if attempt >= self.retries.attempts:
                    raise ExportFailed(f"{shown(url)}: no answer ({type(error).__name__})") from error
                asked = 0.0
            await self.pause(attempt, asked=asked)

    async def pause(self, attempt: int, *, asked: float = 0.0) -> None:
        """Waits before a request is sent again, for the `attempt`-th time."""
        self.repeated += 1
        await asyncio.sleep(self.retries.pause(attempt, asked=asked, ids=self._ids))

    def asked_in(self, response: aiohttp.ClientResponse) -> float:
        """Returns the seconds of Retry-After, 0 without."""
        return seconds_asked(response.headers.get("Retry-After", "").strip(), now=self._clock.now())

    def _credentials(self, url: str, *, with_token: bool) -> dict[str, str]:
        if not self.is_own(url):
            return {}
        return {**self._tenant, **(self._token if with_token else {})}
