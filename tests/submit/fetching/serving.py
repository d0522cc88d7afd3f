"""Providers for the tests: servers on this machine, and a submitter who may fetch from them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from fhirstore.errors import SourceFailed
from fhirstore.submit.fetching.limits import FetchLimits
from fhirstore.submit.fetching.sources import NetworkSources
from fhirstore.submit.source import Access, Wanted
from fhirstore.submit.submitters import Submitter

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
QUICK = FetchLimits(connect=5, answer=5, silence=5, patience=5, retries=0)
"""Limits that none of the tests reaches but by what it is about."""


@dataclass(slots=True)
class Provider:
    """A server. `seen`: the requests it got."""

    port: int
    seen: list[web.BaseRequest] = field(default_factory=list)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str = "/file") -> str:
        """A URL of it."""
        return f"http://{self.host}{path}"


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[Provider]:
    """A server that answers every request by `handler`."""
    provider = Provider(0)

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        provider.seen.append(request)
        return await handler(request)

    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        provider.port = runner.addresses[0][1]
        yield provider
    finally:
        await runner.cleanup()


@asynccontextmanager
async def serving_bytes(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[Provider]:
    """A server that says whatever `answer` writes once a request was read."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await answer(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield Provider(server.sockets[0].getsockname()[1])
    finally:
        server.close()


def submitter(
    *providers: Provider | str,
    private: bool = True,
    folders: tuple[str, ...] = (),
    buckets: tuple[str, ...] = (),
    keys: bool = False,
    tenant: str = "default",
) -> Submitter:
    """A submitter who may fetch from these, by plain http."""
    return Submitter(
        identifier="https://example.org/submitters|acme",
        tenant=tenant,
        hosts=tuple(one if isinstance(one, str) else one.host for one in providers),
        plain_http=True,
        private_addresses=private,
        folders=folders,
        buckets=buckets,
        client_id="client-1" if keys else None,
        client_key="env:CLIENT_KEY" if keys else None,
        decryption_key="env:DECRYPTION_KEY" if keys else None,
    )


async def fetched(
    access: Access | Submitter, wanted: Wanted | str, *, sources: NetworkSources | None = None
) -> tuple[bytes, str | None]:
    """What a source reads: the body, and its etag."""
    access = Access(access) if isinstance(access, Submitter) else access
    wanted = Wanted(wanted) if isinstance(wanted, str) else wanted
    sources = sources or NetworkSources(limits=QUICK)
    async with asyncio.timeout(60), sources.opening(access) as source, source.open(wanted) as opened:
        chunks = [chunk async for chunk in opened]
        assert all(0 < len(chunk) <= 1024 * 1024 for chunk in chunks)
        return b"".join(chunks), opened.etag


async def refusal(
    access: Access | Submitter, wanted: Wanted | str, *, sources: NetworkSources | None = None
) -> SourceFailed:
    """The error that a source raises."""
    with pytest.raises(SourceFailed) as caught:
        await fetched(access, wanted, sources=sources)
    return caught.value


def said(error: SourceFailed) -> str:
    """What an error tells the provider."""
    return str(error.issues[0].diagnostics)


def body(content: bytes, **headers: str) -> Handler:
    """A handler that always answers with this content."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=content, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return answer
