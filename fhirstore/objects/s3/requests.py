"""Sends query-signed requests to one bucket: those that need a write window, a Date header or a raw answer.

These are HEAD, LIST, batch delete, PUT and DELETE with a window, everything that carries facts, and multipart uploads.
Plain GET, PUT and DELETE go through obstore, which is cheaper but shows neither status nor Date. `StoreTime` learns the
store's time from every answer here.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import aiohttp
from yarl import URL

from fhirstore.clock import Clock
from fhirstore.objects.s3.failures import UNTRUSTED, Failure
from fhirstore.objects.s3.options import S3Options
from fhirstore.objects.s3.session import S3Session
from fhirstore.objects.s3.signing import Keys, QuerySigner, encode
from fhirstore.objects.s3.store_time import StoreTime, parse_date

_VALID_SECONDS = 300  # of requests without a window of their own
_PIECE = 1024 * 1024  # bytes given to the transport at once
_SLOWEST = 128 * 1024  # bytes per second at which a body may be sent before the request counts as stuck
_SILENT = frozenset({"Content-Type", "Accept", "Accept-Encoding", "User-Agent"})  # aiohttp's own headers, not needed


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. `date`: the store's clock had reached this time when it answered, epoch ms."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    date: int

    def failure(self) -> Failure:
        return Failure.from_answer(self.status, self.body)


Piece: TypeAlias = "bytes | memoryview"
"""Part of a body in memory. A body in pieces is sent without being joined."""


class NoAnswer(Exception):
    """The request got no answer. `failure.sent`: whether it may have been applied."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


class SignedRequests:
    """Sends each request exactly once. The caller decides about repeats."""

    def __init__(self, session: S3Session, options: S3Options, clock: Clock) -> None:
        self._session = session
        self._clock = clock
        self._time = StoreTime()
        self._signer: QuerySigner | None = None
        addressing = session.addressing
        connector = aiohttp.TCPConnector(
            limit=options.connections, ssl=session.tls() if addressing.endpoint_url.startswith("https") else False
        )
        timeout = aiohttp.ClientTimeout(
            total=options.request_timeout, sock_connect=options.connect_timeout, sock_read=options.silence
        )
        self._timeout = timeout
        self._http = aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False)
        # aiohttp would repeat a PUT on its own when a kept-alive connection breaks, and turn our success into a 412.
        self._http._retry_connection = False  # no public switch; a test counts the requests

    def now(self) -> int:
        """Returns the store's time as best known, epoch ms; this machine's until the first answer."""
        return self._time.estimate(_monotonic()) if self._time.known else self._clock.now()

    def reached(self) -> int:
        """Returns a time that the store's clock has surely reached, epoch ms; 0 before the first answer."""
        return self._time.lower_bound(_monotonic()) if self._time.known else 0

    async def send(
        self,
        method: str,
        key: str = "",
        *,
        parameters: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        signed: Mapping[str, str] | None = None,
        body: bytes | Sequence[Piece] | None = None,
        expires: int | None = None,
        patience: float = 0.0,
    ) -> Answer:
        """One request; any status is an answer. `key` is the whole key in the bucket. Raises NoAnswer.

        `signed`: headers that are signed, with names in lower case, as those that begin with `x-amz-` must be.
        `patience`: seconds that the store may work without a word, in addition to the usual.
        With `expires` (epoch ms) the store refuses it from then on: also where that is past, the store decides.
        """
        addressing = self._session.addressing
        known = self._time.known
        sent = _monotonic()
        reached = self._time.lower_bound(sent) if known else self._clock.now()
        at = reached // 1000  # never in the store's future, once its time is known
        seconds = _VALID_SECONDS
        if expires is not None:
            seconds = expires // 1000 - at
            if seconds < 1:
                at, seconds = expires // 1000 - 1, 1  # the shortest signature, to end just then
        path = f"{addressing.bucket_path}/{encode(key, keep='/')}" if key else addressing.bucket_path or "/"
        query = self._signed_by(await self._session.keys()).query(
            method, path, parameters, at=at, seconds=seconds, headers=signed
        )
        url = URL(f"{addressing.origin}{path}?{query}", encoded=True)
        sending = {**(headers or {}), **(signed or {})}
        data: bytes | AsyncIterator[Piece] | None
        if body is None or (isinstance(body, bytes) and len(body) <= _PIECE):
            data, size = body, len(body or b"")
        else:
            pieces = (body,) if isinstance(body, bytes) else body
            data, size = _each(pieces), sum(map(len, pieces))
            sending["Content-Length"] = str(size)
        timeout = self._timeout
        if patience or size > _SLOWEST:
            timeout = aiohttp.ClientTimeout(
                total=(timeout.total or 0) + size / _SLOWEST + patience,
                sock_connect=timeout.sock_connect,
                sock_read=(timeout.sock_read or 0) + patience,
            )
        try:
            async with self._http.request(
                method,
                url,
                data=data,
                headers=sending,
                allow_redirects=False,
                skip_auto_headers=_SILENT,
                timeout=timeout,
            ) as response:
                content = await response.read()
                received = _monotonic()
        except aiohttp.ClientConnectorError as error:
            untrusted = isinstance(error, aiohttp.ClientSSLError)
            raise NoAnswer(Failure(0, UNTRUSTED if untrusted else "", sent=False)) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NoAnswer(Failure(0)) from error
        stated = parse_date(response.headers.get("Date"))
        if stated is not None:
            self._time.observe(stated, sent=sent, received=received)
        date = max(stated or 0, reached if known else 0)
        return Answer(response.status, response.headers, content, date)

    def _signed_by(self, keys: Keys) -> QuerySigner:
        if self._signer is None or self._signer.keys != keys:
            self._signer = QuerySigner(keys, region=self._session.region, host=self._session.addressing.host)
        return self._signer

    async def aclose(self) -> None:
        await self._http.close()


async def _each(pieces: Sequence[Piece]) -> AsyncIterator[Piece]:
    for piece in pieces:
        view = memoryview(piece)
        for start in range(0, len(view), _PIECE):
            yield view[start : start + _PIECE]


def _monotonic() -> float:
    return time.monotonic() * 1000
