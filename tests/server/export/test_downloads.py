"""Long downloads through the real HTTP server: slow clients, deadlines, failures and removals in their middle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from fhirstore.errors import StoreUnavailable
from fhirstore.objects.base import ObjectStream
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.passing_on import PassingOn
from server.settings import Settings
from tests.server.export.exporting import begun, finished, listening
from tests.server.serving import FHIR_JSON

_PLAIN = {"Accept-Encoding": "identity"}


class _Paced(PassingOn):
    """Streams a file in pieces of 1,000 bytes, and does what the test says before each but the first."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())
        self.before: Callable[[], Awaitable[object]] = _nothing

    @asynccontextmanager
    async def get_stream(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[ObjectStream]:
        async with self.inner.get_stream(key, start=start, end=end) as stream:
            yield _Pieces(stream, self) if "/output/" in key else stream


class _Pieces:
    def __init__(self, stream: ObjectStream, store: _Paced) -> None:
        self.size = stream.size
        self.etag = stream.etag
        self._stream = stream
        self._store = store

    async def __aiter__(self) -> AsyncIterator[bytes]:
        first = True
        async for chunk in self._stream:
            for at in range(0, len(chunk), 1_000):
                if not first:
                    await self._store.before()
                first = False
                yield chunk[at : at + 1_000]


async def _nothing() -> None:
    return None


@asynccontextmanager
async def _filed(settings: Settings | None = None) -> AsyncIterator[tuple[_Paced, httpx.AsyncClient, str]]:
    """The store, a client and the URL of a file of about 6 kB."""
    objects = _Paced()
    async with listening(settings, objects) as base, httpx.AsyncClient(base_url=base, timeout=30) as client:
        for n in range(40):
            body = {"resourceType": "Patient", "id": f"p{n}", "name": [{"family": "F" * 50}]}
            await client.put(f"/Patient/p{n}", json=body, headers=FHIR_JSON)
        manifest = (await finished(client, await begun(client, "/$export"))).json()
        yield objects, client, manifest["output"][0]["url"]


async def test_a_download_may_take_longer_than_a_request() -> None:
    """The deadline of requests is one of the store for each piece, and not of the whole file."""
    async with _filed(Settings(request_timeout=0.5)) as (objects, client, url):
        whole = (await client.get(url, headers=_PLAIN)).content

        async def slowly() -> None:
            await asyncio.sleep(0.2)

        objects.before = slowly
        started = asyncio.get_running_loop().time()
        assert (await client.get(url, headers=_PLAIN)).content == whole
        assert asyncio.get_running_loop().time() - started > 0.5


async def test_a_store_that_falls_silent_ends_a_download() -> None:
    """After the deadline the answer is cut, so that the client sees that it lacks something."""
    async with _filed(Settings(request_timeout=0.5)) as (objects, client, url):
        objects.before = asyncio.Event().wait  # it never returns
        async with asyncio.timeout(20):
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get(url, headers=_PLAIN)


@pytest.mark.parametrize("accepted", ["identity", "gzip"])
async def test_a_download_that_fails_is_cut_and_goes_on_where_it_was(accepted: str) -> None:
    """No byte of it is wrong; the rest comes by a range of the same tag."""
    async with _filed() as (objects, client, url):
        whole = await client.get(url, headers=_PLAIN)

        async def failing() -> None:
            raise StoreUnavailable("", "gone")

        objects.before = failing
        got = b""
        with pytest.raises(httpx.RemoteProtocolError):
            async with client.stream("GET", url, headers={"Accept-Encoding": accepted}) as answer:
                async for chunk in answer.aiter_bytes():
                    got += chunk
        assert 0 < len(got) < len(whole.content)
        assert whole.content.startswith(got)
        objects.before = _nothing
        headers = {"Range": f"bytes={len(got)}-", "If-Range": whole.headers["etag"]}
        rest = await client.get(url, headers=headers)
        assert (rest.status_code, got + rest.content) == (206, whole.content)


async def test_a_removed_export_is_gone_also_for_who_downloads_it() -> None:
    """The download under way has its bytes, or is cut; the next one is 404."""
    async with _filed() as (objects, client, url):
        whole = (await client.get(url, headers=_PLAIN)).content
        removed = asyncio.Event()

        async def once_removed() -> None:
            await removed.wait()

        objects.before = once_removed
        got = b""
        async with client.stream("GET", url, headers=_PLAIN) as answer:
            deleted = await client.delete(url.rpartition("/")[0])
            assert deleted.status_code == 202
            removed.set()
            try:
                async for chunk in answer.aiter_bytes():
                    got += chunk
            except httpx.RemoteProtocolError:
                pass
        assert whole.startswith(got)
        gone = await client.get(url)
        assert (gone.status_code, gone.json()["resourceType"]) == (404, "OperationOutcome")


async def test_many_downloads_do_not_fill_the_memory() -> None:
    """Each counts as bytes in flight; where there is no room for one more, it is 503 with the time to wait."""
    settings = Settings(max_body=1_000_000, max_in_flight_bytes=5_000_000)
    async with _filed(settings) as (objects, client, url):
        free = asyncio.Event()

        async def when_free() -> None:
            await free.wait()

        objects.before = when_free
        downloads = [asyncio.create_task(client.get(url, headers=_PLAIN)) for _ in range(4)]
        done, _ = await asyncio.wait(downloads, return_when=asyncio.FIRST_COMPLETED, timeout=20)
        assert [task.result().status_code for task in done][:1] == [503]
        assert "retry-after" in next(iter(done)).result().headers
        free.set()
        statuses = sorted([answer.status_code for answer in await asyncio.gather(*downloads)])
        assert statuses == [200, 200, 503, 503]
        assert (await client.get(url, headers=_PLAIN)).status_code == 200
