"""Requests to a provider's servers: each hop checked, each wait bounded, credentials only where they belong."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC
from email.utils import parsedate_to_datetime

import aiohttp
from yarl import URL

from fhirstore.clock import Clock
from fhirstore.errors import SourceFailed
from fhirstore.submit.fetching.limits import FetchLimits
from fhirstore.submit.fetching.targets import Target
from fhirstore.submit.submitters import Submitter

_REDIRECTS = (301, 302, 303, 307, 308)
_BUSY = (429, 503)
_FIRST_WAIT = 1.0  # seconds, where a busy provider does not say


class Requests:
    """The requests on behalf of one submitter, over one session."""

    def __init__(self, session: aiohttp.ClientSession, submitter: Submitter, limits: FetchLimits, clock: Clock) -> None:
        self._session = session
        self._clock = clock
        self.submitter = submitter
        self.limits = limits

    def now(self) -> int:
        """Returns epoch ms."""
        return self._clock.now()

    @asynccontextmanager
    async def get(
        self, target: Target, headers: Mapping[str, str], *, secret: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Opens the answer to a GET, after redirects and after short waits that a busy provider asks for.

        `secret`: headers that are sent to the target's own origin only, and to nobody once a redirect has left it.
        Raises SourceFailed.
        """
        for tried in range(self.limits.retries + 1):
            response = await self._followed(target, headers, secret)
            try:
                wait = retry_after(response, self.now()) if response.status in _BUSY else None
                if response.status not in _BUSY or tried == self.limits.retries:
                    yield response
                    return
            finally:
                response.close()
            wait = _FIRST_WAIT if wait is None else wait
            if wait > self.limits.longest_wait:
                raise _busy()
            await asyncio.sleep(wait)

    @asynccontextmanager
    async def post(
        self, target: Target, form: Mapping[str, str], headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Opens the answer to a POST of a form; a redirect is not followed. Raises SourceFailed."""
        response = await self._sent("POST", target, headers, form)
        try:
            yield response
        finally:
            response.close()

    async def _followed(
        self, target: Target, headers: Mapping[str, str], secret: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        at, hidden = target, dict(secret)
        for _ in range(self.limits.redirects + 1):
            response = await self._sent("GET", at, {**headers, **hidden}, None)
            if response.status not in _REDIRECTS:
                return response
            location = response.headers.get("Location")
            response.close()
            if location is None:
                raise SourceFailed("The URL redirects, but does not say where to", code="invalid")
            at = at.redirected(location, self.submitter)
            if at.origin != target.origin:
                hidden = {}
        raise SourceFailed(f"The URL redirects more than {self.limits.redirects} times", code="too-costly")

    async def _sent(
        self, method: str, target: Target, headers: Mapping[str, str], form: Mapping[str, str] | None
    ) -> aiohttp.ClientResponse:
        url = URL(target.url, encoded=True)
        if (
            url.raw_host != target.host
            or url.port != target.port
            or url.scheme != target.scheme
            or url.user is not None
        ):
            raise SourceFailed("The URL cannot be read in one way only", code="value")
        try:
            async with asyncio.timeout(self.limits.connect + self.limits.answer), translated():
                return await self._session.request(method, url, headers=headers, data=form, allow_redirects=False)
        except TimeoutError:
            raise SourceFailed("The provider did not answer in time", code="timeout", again=True) from None

    async def read(self, response: aiohttp.ClientResponse, most: int) -> bytes:
        """Returns a body of at most `most` bytes. Raises SourceFailed."""
        chunks: list[bytes] = []
        size = 0
        async for chunk in received(response, self.limits):
            chunks.append(chunk)
            size += len(chunk)
            if size > most:
                raise SourceFailed(f"The answer has more than {most:,} bytes", code="too-costly")
        return b"".join(chunks)


async def received(response: aiohttp.ClientResponse, limits: FetchLimits) -> AsyncIterator[bytes]:
    """Yields the body as it was sent. Raises SourceFailed if it breaks off, or comes too slowly."""
    loop = asyncio.get_running_loop()
    waited, size = 0.0, 0
    while True:
        began = loop.time()
        try:
            async with asyncio.timeout(limits.silence), translated():
                chunk = await response.content.readany()
        except TimeoutError:
            raise SourceFailed("The provider stopped in the middle of a body", code="timeout", again=True) from None
        if not chunk:
            return
        waited += loop.time() - began
        size += len(chunk)
        if waited > limits.patience + size / limits.slowest:
            raise SourceFailed("The provider sends too slowly", code="timeout", again=True)
        yield chunk


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """Raises SourceFailed for what aiohttp raises, whose messages name addresses and URLs."""
    try:
        yield
    except (aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError):
        raise SourceFailed("The provider's certificate could not be verified", code="security") from None
    except aiohttp.ClientSSLError:
        raise SourceFailed("No secure connection to the provider could be made", code="security", again=True) from None
    except aiohttp.ClientConnectorDNSError:
        raise SourceFailed("The host of the URL has no address at present", code="not-found", again=True) from None
    except (aiohttp.InvalidURL, aiohttp.TooManyRedirects):
        raise SourceFailed("The URL cannot be read", code="value") from None
    except aiohttp.ServerTimeoutError:
        raise SourceFailed("The provider did not answer in time", code="timeout", again=True) from None
    except (aiohttp.ClientResponseError, aiohttp.http_exceptions.HttpProcessingError, ValueError):
        raise SourceFailed("The provider's answer is no HTTP, or its head is too large", code="invalid") from None
    except (aiohttp.ClientError, OSError) as error:
        if isinstance(error, TimeoutError):
            raise
        raise SourceFailed("The connection to the provider failed", code="transient", again=True) from None


def unexpected(response: aiohttp.ClientResponse) -> SourceFailed:
    """The error for an answer of another status than those that are understood."""
    status = response.status
    if status in _BUSY:
        return _busy()
    if status in (404, 410):
        return SourceFailed("The provider has no such file", code="not-found")
    if status in (401, 403):
        return SourceFailed("The provider refuses access", code="security")
    again = status in (408, 425) or status >= 500
    return SourceFailed(f"The provider answers with HTTP status {status}", code="exception", again=again)


def retry_after(response: aiohttp.ClientResponse, now: int) -> float | None:
    """Returns the seconds after which the provider wants to be asked again, None if it does not say. `now`: ms."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdecimal() and len(text) < 10:
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(at.replace(tzinfo=at.tzinfo or UTC).timestamp() - now / 1000, 0.0)


def _busy() -> SourceFailed:
    return SourceFailed("The provider is busy", code="throttled", again=True)
