"""A server process: opens the store when it starts, serves the app, closes the store when it stops.

Every worker process runs its own and reads its settings from the environment, so that it can be restarted.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import AsyncIterator, MutableMapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from starlette.types import ASGIApp, Receive, Scope, Send

from fhirstore import FhirStore, SubmitOptions
from fhirstore.errors import FhirStoreError
from server.access.hosts import for_listener
from server.app import create_app
from server.http.deadlines import Deadlines
from server.http.in_flight import InFlight
from server.process.connections import Connections
from server.process.ending import HANDED_BACK_IN, SETTLED_IN, Ending, end_now, ended_in
from server.process.submitting import submit_options
from server.settings import Settings, from_environment


@asynccontextmanager
async def open_store(
    settings: Settings, *, create: bool = False, submitting: SubmitOptions | None = None
) -> AsyncIterator[FhirStore]:
    """Opens the store that `settings` name. `create`: make it where there is none; only a server does.

    `submitting`: who may submit in bulk; None: whom the settings name. Raises StoreMisconfigured.
    """
    opening = FhirStore.open(
        settings.store,
        tenants=settings.tenants,
        buckets=settings.tenant_buckets,
        s3=settings.s3,
        fhir_version=settings.fhir_version,
        validation=settings.validation,
        reference_integrity=settings.reference_integrity,
        export_options=settings.export_options,
        job_limits=settings.job_limits,
        submit_options=submit_options(settings) if submitting is None else submitting,
        tags=settings.tags,
        create=create,
    )
    async with opening as store:
        yield store


class Deployment:
    """The ASGI app of a server process: it handles the lifespan itself and passes all else to `create_app`'s app."""

    def __init__(self, settings: Settings) -> None:
        self._settings = for_listener(settings)
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(scope["state"], receive, send)
        else:
            assert self._app is not None  # noqa: S101 - the ASGI server starts the lifespan first
            await self._app(scope, receive, send)

    async def _live(self, state: MutableMapping[str, object], receive: Receive, send: Send) -> None:
        await receive()  # lifespan.startup
        ending = ending_of(self._settings)
        ending.handle_signals()
        opening = open_store(self._settings, create=True)
        try:
            store = await opening.__aenter__()
        except FhirStoreError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        try:
            deadlines = Deadlines(self._settings.request_timeout)
            self._app = create_app(store, self._settings, deadlines=deadlines, ending=ending.begun)
            connections = state["connections"] = connections_for(self._settings)
            watching = asyncio.create_task(connections.watch())
            closing = asyncio.create_task(connections.close_after_answers(ending.begun))
            working = asyncio.create_task(_work(store, self._settings, deadlines, ending.begun))
            _collect_less()
            _take_turns_sooner()
            await send({"type": "lifespan.startup.complete"})
            await receive()  # lifespan.shutdown
            watching.cancel()
            closing.cancel()
            ending.begun.set()
            await asyncio.wait([working], timeout=HANDED_BACK_IN)
            working.cancel()
        finally:
            await _close(opening)
        await send({"type": "lifespan.shutdown.complete"})


def connections_for(settings: Settings) -> Connections:
    """Returns what watches the connections of this process, with the limits of the settings."""
    return Connections(
        InFlight(settings.max_in_flight, work=InFlight(settings.max_in_flight)),
        most=settings.max_connections,
        io_timeout=settings.io_timeout,
        keep_alive=settings.keep_alive,
        grace=settings.stop_timeout,
    )


def ending_of(settings: Settings) -> Ending:
    """Returns the end of this process. Called in its event loop."""
    return Ending(within=ended_in_of(settings), drain=settings.drain)


def ended_in_of(settings: Settings) -> float:
    """Returns the seconds after a signal in which a server process has ended."""
    return ended_in(drain=settings.drain, answered=settings.stop_timeout)


async def _work(store: FhirStore, settings: Settings, deadlines: Deadlines, stop: asyncio.Event) -> None:
    """Runs jobs beside the requests until `stop` is set; then hands them back. They go by the pace of the requests."""
    if settings.worker:
        worker = store.worker(at_once=settings.jobs_at_once, say=_say, activity=deadlines.activity)
        await worker.run(stop)


def _say(line: str) -> None:
    sys.stderr.write(f"fhirstore: {line}\n")


async def _close(opened: AbstractAsyncContextManager[FhirStore]) -> None:
    """Waits for the writes whose callers are gone, and closes the store.

    Where the store does not answer in time, the process ends at once: writes that were not acknowledged may have been
    done or not, as after a crash.
    """
    try:
        async with asyncio.timeout(SETTLED_IN):
            await opened.__aexit__(None, None, None)
    except (TimeoutError, FhirStoreError):
        end_now("the store did not answer; writes that were under way may be there or not")


def _collect_less() -> None:
    """Makes the garbage collector skip what lives as long as the process, and run less often.

    A request makes hundreds of objects and hardly any cycle. Benchmark: creates, see docs/performance.md.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


def _take_turns_sooner() -> None:
    """Lets a thread that waits for the interpreter lock have it after 0.2 ms instead of 5.

    The threads here do little work in Python: they pass a batch to SQLite and its result back, and 5 ms for either is
    more than a commit takes. Benchmark: creates, see docs/performance.md.
    """
    sys.setswitchinterval(0.0002)


def from_env() -> Deployment:
    """Returns the app; the ASGI server calls it in each worker process."""
    return Deployment(from_environment(os.environ))
