"""A server process: opens the store when it starts, serves the app, closes the store when it stops.

Every worker process runs its own and reads its settings from the environment, so that it can be restarted.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from starlette.types import ASGIApp, Receive, Scope, Send

from fhirstore import FhirStore, SubmitOptions, Worker
from fhirstore.errors import FhirStoreError
from server.access.hosts import for_listener
from server.app import create_app
from server.auditing.audit import Audit
from server.auditing.opening import auditing
from server.http.deadlines import Deadlines
from server.http.in_flight import InFlight
from server.observing.answering import Publish, publish_of_worker
from server.observing.observers import Observers, observers
from server.observing.process import keep_publishing, of_connections, of_indexes, of_jobs, of_process
from server.process.connections import Connections
from server.process.ending import HANDED_BACK_IN, SETTLED_IN, Ending, end_now, end_with_parent, ended_in
from server.process.submitting import submit_options
from server.process.tls import BadCertificate, Files, Tls
from server.settings import Settings, from_environment


@asynccontextmanager
async def open_store(
    settings: Settings,
    *,
    create: bool = False,
    submitting: SubmitOptions | None = None,
    observers: Observers | None = None,
    follow: bool = False,
) -> AsyncIterator[FhirStore]:
    """Opens the store that `settings` name. `create`: make it where there is none; only a server does.

    `follow`: keep the search indexes up to date in the background; only a server does. `submitting`: who may submit in
    bulk; None: whom the settings name. `observers`: are told of storage requests. Raises StoreMisconfigured.
    """
    observers = observers or Observers()
    opening = FhirStore.open(
        settings.store,
        tenants=settings.tenants,
        buckets=settings.tenant_buckets,
        s3=observers.of_s3(settings.s3),
        inline_bytes=settings.inline_bytes,
        fhir_version=settings.fhir_version,
        validation=settings.validation,
        reference_integrity=settings.reference_integrity,
        externalize_attachments=settings.externalize_attachments,
        export_options=settings.export_options,
        job_limits=settings.job_limits,
        submit_options=submit_options(settings) if submitting is None else submitting,
        tags=settings.tags,
        index=replace(settings.index_options, follow=follow, aside=follow, bases=_bases(settings)),
        create=create,
        observer=observers.of_store,
    )
    async with opening as store:
        yield store


@dataclass(frozen=True, slots=True)
class _Opened:
    """What a server process opens at its start. `audit`, `tls`: None where the settings want none."""

    store: FhirStore
    observing: Observers
    audit: Audit | None
    tls: Tls | None


@asynccontextmanager
async def _opened(settings: Settings, *, measured: bool) -> AsyncIterator[_Opened]:
    """Opens it, and closes it in the opposite order. Raises FhirStoreError, BadCertificate: it cannot start."""
    observing = observers(settings, measured=measured)
    tls = tls_of(settings)
    opening = open_store(settings, create=True, observers=observing, follow=True)
    store = await opening.__aenter__()
    try:
        async with auditing(settings, store) as audit:
            yield _Opened(store, observing, audit, tls)
    finally:
        await _close(opening)
        await asyncio.to_thread(observing.close)


class Deployment:
    """The ASGI app of a server process: it handles the lifespan itself and passes all else to `create_app`'s app.

    `publish`: takes the snapshots of its metrics; None: there are none.
    """

    def __init__(self, settings: Settings, publish: Publish | None = None) -> None:
        self._settings = for_listener(settings)
        self._publish = publish
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
        async with AsyncExitStack() as stack:
            try:
                opened = await stack.enter_async_context(_opened(self._settings, measured=self._publish is not None))
            except (FhirStoreError, BadCertificate) as error:
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
            await self._serve(opened, ending, state, receive, send)
        await send({"type": "lifespan.shutdown.complete"})

    async def _serve(
        self, opened: _Opened, ending: Ending, state: MutableMapping[str, object], receive: Receive, send: Send
    ) -> None:
        """Serves until the lifespan ends, and then until what runs beside the requests has ended."""
        deadlines = Deadlines(self._settings.request_timeout)
        store, audit, observing = opened.store, opened.audit, opened.observing
        self._app = create_app(
            store, self._settings, deadlines=deadlines, ending=ending.begun, observers=observing, audit=audit
        )
        if audit is not None and observing.measures is not None:
            observing.measures.add(audit.gauges)
        connections = state["connections"] = connections_for(self._settings)
        at_once, activity = self._settings.jobs_at_once, deadlines.activity
        worker = store.worker(at_once=at_once, say=_say, activity=activity, ran=_teller(audit))
        working = asyncio.create_task(_work(worker, self._settings, ending.begun))
        if observing.measures is not None:
            observing.measures.add(of_indexes(store))
        publishing = asyncio.create_task(self._keep_publishing(observing, connections, worker))
        beside = [
            _renewing(opened.tls, state),
            asyncio.create_task(connections.watch()),
            asyncio.create_task(connections.close_after_answers(ending.begun)),
        ]
        _collect_less()
        _take_turns_sooner()
        await send({"type": "lifespan.startup.complete"})
        await receive()  # lifespan.shutdown
        for task in beside:
            if task is not None:
                task.cancel()
        ending.begun.set()
        await asyncio.wait([working], timeout=HANDED_BACK_IN)
        working.cancel()
        publishing.cancel()
        await asyncio.wait([publishing])

    async def _keep_publishing(self, observing: Observers, connections: Connections, worker: Worker) -> None:
        """Publishes the metrics until cancelled."""
        measures = observing.measures
        if measures is None or self._publish is None:
            return
        measures.add(of_process(self._settings))
        measures.add(of_connections(connections))
        if self._settings.worker:
            measures.add(of_jobs(worker))
        await keep_publishing(measures, self._publish)


def connections_for(settings: Settings) -> Connections:
    """Returns what watches the connections of this process, with the limits of the settings."""
    return Connections(
        InFlight(settings.max_in_flight, work=InFlight(settings.max_in_flight)),
        most=settings.max_connections,
        io_timeout=settings.io_timeout,
        keep_alive=settings.keep_alive,
        grace=settings.stop_timeout,
    )


def tls_of(settings: Settings) -> Tls | None:
    """Returns what makes handshakes; None: connections are plain. Raises BadCertificate."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return Tls(Files(settings.tls_cert, settings.tls_key, settings.tls_key_password))


def _renewing(tls: Tls | None, state: MutableMapping[str, object]) -> asyncio.Task[None] | None:
    """Gives connections their TLS, and has it renewed on SIGHUP and when its files change, until cancelled."""
    if tls is None:
        return None
    state["tls"] = tls
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, tls.reload)
    return asyncio.create_task(tls.watch())


def ending_of(settings: Settings) -> Ending:
    """Returns the end of this process. Called in its event loop."""
    return Ending(within=ended_in_of(settings), drain=settings.drain)


def ended_in_of(settings: Settings) -> float:
    """Returns the seconds after a signal in which a server process has ended."""
    return ended_in(drain=settings.drain, answered=settings.stop_timeout, audits=settings.audit != "off")


async def _work(worker: Worker, settings: Settings, stop: asyncio.Event) -> None:
    """Runs jobs beside the requests until `stop` is set; then hands them back. They go by the pace of the requests."""
    if settings.worker:
        await worker.run(stop)


def _teller(audit: Audit | None) -> Callable[[str, str, str, str], None]:
    return (lambda *_: None) if audit is None else audit.ran


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
    end_with_parent()
    return Deployment(from_environment(os.environ), publish_of_worker(os.environ))


def _bases(settings: Settings) -> tuple[str, ...]:
    """Returns the base URL of a tenant, for `IndexOptions`; none where the settings do not say it."""
    if settings.base_url is None:
        return ()
    return (f"{settings.base_url}/{{tenant}}" if settings.tenant_source == "path" else settings.base_url,)
