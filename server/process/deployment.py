"""A server process: opens the store when it starts, serves the app, closes the store when it stops.

Every worker process runs its own; all it needs to know is in the environment, so that it can be started anew.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import MutableMapping
from contextlib import AbstractAsyncContextManager

from starlette.types import ASGIApp, Receive, Scope, Send

from fhirstore import FhirStore
from fhirstore.errors import FhirStoreError
from server.access.hosts import for_listener
from server.app import create_app
from server.http.in_flight import InFlight
from server.process.connections import Connections
from server.process.ending import ANSWERED_IN, SETTLED_IN, end_in_time, end_now
from server.settings import Settings, from_environment


def open_store(settings: Settings, *, create: bool = False) -> AbstractAsyncContextManager[FhirStore]:
    """The store that `settings` name; `create`: made where there is none, as only a server does.

    Raises StoreMisconfigured.
    """
    return FhirStore.open(
        settings.store,
        tenants=settings.tenants,
        buckets=settings.tenant_buckets,
        s3=settings.s3,
        fhir_version=settings.fhir_version,
        validation=settings.validation,
        reference_integrity=settings.reference_integrity,
        create=create,
    )


class Deployment:
    """The ASGI app of a server process: lifespan here, everything else in `create_app`'s."""

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
        end_in_time()
        opening = open_store(self._settings, create=True)
        try:
            store = await opening.__aenter__()
        except FhirStoreError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        try:
            self._app = create_app(store, self._settings)
            connections = state["connections"] = connections_for(self._settings)
            watching = asyncio.create_task(connections.watch())
            _collect_less()
            _take_turns_sooner()
            await send({"type": "lifespan.startup.complete"})
            await receive()  # lifespan.shutdown
            watching.cancel()
        finally:
            await _close(opening)
        await send({"type": "lifespan.shutdown.complete"})


def connections_for(settings: Settings) -> Connections:
    """What watches the connections of this process, within the limits of the settings."""
    return Connections(
        InFlight(settings.max_in_flight, work=InFlight(settings.max_in_flight)),
        most=settings.max_connections,
        io_timeout=settings.io_timeout,
        keep_alive=settings.keep_alive,
        grace=ANSWERED_IN,
    )


async def _close(opened: AbstractAsyncContextManager[FhirStore]) -> None:
    """Wait for the writes whose callers went away, and close the store, if it answers.

    Otherwise the process ends as it is: what was not acknowledged may be there or not, which a crash leaves open too.
    """
    try:
        async with asyncio.timeout(SETTLED_IN):
            await opened.__aexit__(None, None, None)
    except (TimeoutError, FhirStoreError):
        end_now("the store did not answer; writes that were under way may be there or not")


def _collect_less() -> None:
    """Let the garbage collector pass over what lives as long as the process, and look at young objects less often.

    A request makes hundreds of objects and hardly a cycle. Measured on creates: 8 to 30 % of the CPU time saved.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


def _take_turns_sooner() -> None:
    """Let a thread that wants the interpreter have it after 0.2 ms, not 5.

    Threads here do little in Python and much without it: they hand a batch to SQLite, and then hand on what it said. To
    wait 5 ms for either is longer than the commit takes. Measured on creates: a tenth more of them.
    """
    sys.setswitchinterval(0.0002)


def from_env() -> Deployment:
    """The factory that the ASGI server calls in each worker process."""
    return Deployment(from_environment(os.environ))
