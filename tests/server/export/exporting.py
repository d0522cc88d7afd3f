"""The real app with a worker of its own, on a store whose snapshots settle in a third of a second."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import uvicorn
from starlette.types import Receive, Scope, Send

from fhirstore import FhirStore, JobLimits, SubmitOptions
from fhirstore.commit.limits import Limits
from fhirstore.objects.base import ObjectStore
from fhirstore.objects.memory import MemoryStore
from fhirstore.tenancy import PrefixTenancy
from server.app import create_app
from server.process.connections import Connections
from server.process.deployment import connections_for
from server.process.http_server import http_config
from server.process.listening import bound
from server.settings import Settings
from tests.server.listening import until

LIMITS = Limits(window=300, transaction_window=300, apply=50)
ASYNC = {"Prefer": "respond-async", "Accept": "application/fhir+json"}
_PATIENCE = 60.0  # seconds


@asynccontextmanager
async def working(
    settings: Settings | None = None,
    objects: ObjectStore | None = None,
    *,
    limits: JobLimits | None = None,
    times: Limits = LIMITS,
    submit_options: SubmitOptions | None = None,
) -> AsyncIterator[FhirStore]:
    """A store with a worker that does many jobs at once. `times`: a bucket needs longer ones."""
    settings = settings or Settings()
    store = FhirStore(
        PrefixTenancy(objects or MemoryStore(), settings.tenants),
        limits=times,
        job_limits=limits,
        export_options=settings.export_options,
        submit_options=submit_options,
    )
    stop = asyncio.Event()
    worker = asyncio.create_task(store.worker(at_once=64, poll=0.1).run(stop))
    try:
        yield store
    finally:
        stop.set()
        await worker
        await store.settle()


@asynccontextmanager
async def exporting(
    settings: Settings | None = None,
    objects: ObjectStore | None = None,
    *,
    limits: JobLimits | None = None,
    times: Limits = LIMITS,
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the app, in this process."""
    settings = settings or Settings()
    async with working(settings, objects, limits=limits, times=times) as store:
        transport = httpx.ASGITransport(create_app(store, settings))
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            yield client


@asynccontextmanager
async def listening(
    settings: Settings | None = None,
    objects: ObjectStore | None = None,
    *,
    limits: JobLimits | None = None,
    times: Limits = LIMITS,
    submit_options: SubmitOptions | None = None,
) -> AsyncIterator[str]:
    """The base URL of the app behind the real HTTP server, in this process."""
    settings = settings or Settings()
    async with working(settings, objects, limits=limits, times=times, submit_options=submit_options) as store:
        app = create_app(store, settings)
        connections: Connections = connections_for(settings)

        async def with_lifespan(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "lifespan":
                await app(scope, receive, send)
                return
            await receive()
            scope["state"]["connections"] = connections
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})

        socket = bound("127.0.0.1", 0)
        server = uvicorn.Server(http_config(with_lifespan))
        serving = asyncio.create_task(server.serve(sockets=[socket]))
        await until(lambda: server.started)
        try:
            yield f"http://127.0.0.1:{socket.getsockname()[1]}/fhir"
        finally:
            for connection in tuple(server.server_state.connections):
                connection.transport.abort()
            server.should_exit = True
            await serving


async def begun(client: httpx.AsyncClient, url: str = "/fhir/$export", **options: object) -> str:
    """The polling location of an export that begins with a GET."""
    answer = await client.get(url, headers=ASYNC, params=options or None)  # type: ignore[arg-type] # values are texts
    assert answer.status_code == 202, answer.text
    return answer.headers["Content-Location"]


async def finished(client: httpx.AsyncClient, where: str) -> httpx.Response:
    """The last answer of a polling location: with the manifest, or an error."""
    async with asyncio.timeout(_PATIENCE):
        while True:
            answer = await client.get(where)
            told = answer.headers.get("x-export-status", "")
            if answer.status_code not in (202, 429) and not told.startswith("202"):
                return answer
            await asyncio.sleep(0.1 if answer.status_code == 202 else 1)


async def exported(client: httpx.AsyncClient, url: str = "/fhir/$export") -> dict[str, object]:
    """The manifest of an export that is done."""
    answer = await finished(client, await begun(client, url))
    assert answer.status_code == 200, answer.text
    manifest: dict[str, object] = answer.json()
    return manifest
