"""Bodies over http and https. https://hl7.org/fhir/uv/bulkdata/submit.html#manifest-and-file-security"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from fhirstore.errors import SourceFailed
from fhirstore.submit.fetching.oauth import Authorization
from fhirstore.submit.fetching.raw import RawBody, is_strong
from fhirstore.submit.fetching.requests import Requests, received, retry_after, unexpected
from fhirstore.submit.fetching.targets import Target
from fhirstore.submit.source import Wanted

_ACCEPT = "application/fhir+ndjson, application/ndjson;q=0.9, application/json;q=0.9, */*;q=0.5"
_RANGE = re.compile(r"bytes (?:(?P<start>\d{1,18})-\d{1,18}|\*)/(?:(?P<size>\d{1,18})|\*)")
_LONGEST_NAME = 1_000
_WAIT = 30.0  # seconds, for a manifest whose provider does not say when to ask again
_LONGEST_WAIT = 3_600.0

_FORBIDDEN = frozenset(
    (
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "expect",
        "host",
        "if-match",
        "if-none-match",
        "if-modified-since",
        "if-range",
        "if-unmodified-since",
        "keep-alive",
        "range",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
    )
)


def request_headers(headers: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Returns the headers of `fileRequestHeader`. Raises SourceFailed for one that is not the provider's to set."""
    found: dict[str, str] = {}
    for name, value in headers:
        if name.lower() in _FORBIDDEN or name.lower().startswith("proxy-"):
            raise SourceFailed("A fileRequestHeader has a name that cannot be set from outside", code="value")
        if not (value.isascii() and value.isprintable()):
            raise SourceFailed("A fileRequestHeader has a value that HTTP does not allow", code="value")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


@dataclass(frozen=True, slots=True)
class HttpSource:
    """The `RawSource` of http and https. `headers`: `fileRequestHeader`."""

    requests: Requests
    headers: Mapping[str, str] = field(repr=False)
    authorization: Authorization

    def open(self, wanted: Wanted, *, start: int, name: str | None) -> AbstractAsyncContextManager[RawBody]:
        """Sends the GET; once more with a new token where the one it had is refused."""

        @asynccontextmanager
        async def opened() -> AsyncIterator[RawBody]:
            target = Target.of(wanted.url, self.requests.submitter)
            async with AsyncExitStack() as held:
                response = await self._answer(held, target, wanted, start, name)
                yield self._body(response, start, name)

        return opened()

    async def _answer(
        self, held: AsyncExitStack, target: Target, wanted: Wanted, start: int, name: str | None
    ) -> aiohttp.ClientResponse:
        headers = {"Accept": _ACCEPT, "Accept-Encoding": "gzip"}
        if start and is_strong(name):
            headers |= {"Accept-Encoding": "identity", "Range": f"bytes={start}-", "If-Range": str(name)}
        if not wanted.token:
            return await held.enter_async_context(self.requests.get(target, headers, secret=self.headers))
        own = {key: value for key, value in self.headers.items() if key.lower() != "authorization"}
        token = await self.authorization.token(target, wanted.types)
        async with AsyncExitStack() as first:
            secret = {**own, "Authorization": f"Bearer {token}"}
            response = await first.enter_async_context(self.requests.get(target, headers, secret=secret))
            if response.status != 401:
                held.push_async_callback(first.pop_all().aclose)
                return response
        token = await self.authorization.token(target, wanted.types, instead_of=token)
        secret = {**own, "Authorization": f"Bearer {token}"}
        return await held.enter_async_context(self.requests.get(target, headers, secret=secret))

    def _body(self, response: aiohttp.ClientResponse, start: int, name: str | None) -> RawBody:
        """Returns the body. `name`: that it had. Raises SourceFailed for an answer that has none."""
        coding = response.headers.get("Content-Encoding", "")
        body = _HttpBody(None, 0, _name(response), coding, None, response, self.requests)
        if response.status == 202:
            wait = retry_after(response, self.requests.now())
            body.retry_after = min(_WAIT if wait is None else wait, _LONGEST_WAIT)
            body.empty = True
        elif response.status == 200:
            length = response.headers.get("Content-Length", "")
            body.size = int(length) if length.isdecimal() and len(length) < 19 else None
        elif response.status == 206 and start:
            found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if found is None or found["start"] != str(start) or coding not in ("", "identity"):
                raise SourceFailed("The provider sends another range than it was asked for", code="invalid")
            body.start, body.size = start, int(found["size"]) if found["size"] else None
        elif response.status == 416 and start:
            found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if found is None or found["size"] != str(start):
                raise SourceFailed("The file was changed while it was being read", code="conflict")
            body.start = body.size = start
            body.name = body.name or name
            body.empty = True
        else:
            raise unexpected(response)
        return body


@dataclass(slots=True)
class _HttpBody:
    """A `RawBody`. `empty`: what the answer says is not content."""

    size: int | None
    start: int
    name: str | None
    coding: str
    retry_after: float | None
    _response: aiohttp.ClientResponse = field(repr=False)
    _requests: Requests = field(repr=False)
    empty: bool = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if not self.empty:
            async for chunk in received(self._response, self._requests.limits):
                yield chunk


def _name(response: aiohttp.ClientResponse) -> str | None:
    """Returns the entity tag; without one, a weak one made of the time of the last change."""
    etag, changed = response.headers.get("ETag", ""), response.headers.get("Last-Modified", "")
    name = etag or (f"W/[{changed}]" if changed else "")
    return name if name and len(name) <= _LONGEST_NAME and name.isascii() and name.isprintable() else None
