"""`fhirstore serve`: probes the store, prints the base URL, runs the ASGI server in one or several processes."""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import uvicorn

from fhirstore import __version__, probe, render_probe
from fhirstore.errors import FhirStoreError, StoreFull, UnsafeStore
from server.access.hosts import any_host, repeats_any_host
from server.access.smart.clients import read_clients
from server.http.call import FHIR_PATH
from server.observing.answering import Answering, answering
from server.observing.observers import share_key
from server.process.deployment import Deployment, ended_in_of, open_store, tls_of
from server.process.ending import Workers, end_quietly_on_sigterm
from server.process.http_server import http_config
from server.process.listening import bound, for_workers
from server.process.tls import BadCertificate
from server.settings import Settings
from server.settings.loopback import is_loopback

_NOT_STARTED = "the server process did not start; the lines above say why"


class CannotStart(Exception):
    """The server cannot start; the message is one line that says what to do."""


async def inspect_store(settings: Settings) -> list[str]:
    """Open and probe every store. Returns their locations; raises FhirStoreError, UnsafeStore.

    An embedded store that is full cannot be probed, and need not be: it is served with a warning, for its reads.
    """
    locations = []
    if settings.clients is not None:
        read_clients(Path(settings.clients), release=settings.fhir_version)
    async with open_store(settings, create=True) as store:
        try:
            await store.check()
        except StoreFull as full:
            if not settings.store.startswith("file:"):
                raise
            sys.stderr.write(f"fhirstore: {full}; until there is room reads are answered, and writes refused\n")
            return [objects.location for objects in store.tenancy.stores]
        await store.refuse_unfinished_copies()
        for objects in store.tenancy.stores:
            locations.append(objects.location)
            report = await probe(objects, thorough=False)
            if not report.safe and not settings.unsafe_single_writer:
                found = "was not shown to be safe for several writers. Start again when it answers"
                if report.broken:
                    found = "loses updates when several writers meet. Use another store"
                raise UnsafeStore(
                    detail=f"{objects.location} {found}, or with --unsafe-single-writer if this will be its only "
                    f"server process.\n{render_probe(report)}"
                )
    return locations


def serve(settings: Settings, *, host: str, port: int, workers: int) -> None:
    """Serves until interrupted. Raises CannotStart."""
    if settings.unsafe_single_writer and workers > 1:
        raise CannotStart("--unsafe-single-writer means one process: leave --workers out")
    if workers > 1 and settings.store.startswith("memory:"):
        raise CannotStart("memory: lives inside one process: leave --workers out, or use file: or s3://")
    if settings.auth is None and not is_loopback(host):
        raise CannotStart(
            f"other machines can reach {host}: say who is let in by FHIRSTORE_AUTH=smart or jwt, or say "
            "FHIRSTORE_AUTH=none where whoever reaches the server may do everything"
        )
    if settings.auth == "smart" and any_host(settings):
        raise CannotStart(
            "FHIRSTORE_AUTH=smart: clients sign what they send for one URL, so say which it is: set FHIRSTORE_BASE_URL"
        )
    end_quietly_on_sigterm()
    tls = settings.tls_cert is not None
    try:
        tls_of(settings)  # here, so that each worker need not say that it cannot be used
        locations = asyncio.run(inspect_store(settings))
    except (FhirStoreError, BadCertificate) as error:
        raise CannotStart(str(error)) from error
    listener = _listen(host, port)
    with ExitStack() as stack:
        metrics = _metrics(settings, workers, stack)
        _greet(settings, listener, locations, workers=workers, metrics=metrics)
        if workers > 1:
            share_key(settings)
            config = http_config(
                "server.process.deployment:from_env",
                factory=True,
                workers=workers,
                stop_timeout=settings.stop_timeout,
                tls=tls,
            )
            processes = Workers(config, [for_workers(listener)], within=ended_in_of(settings), renewing=tls)
            processes.run()
            if processes.failed:
                raise CannotStart(_NOT_STARTED)
            return
        app = Deployment(settings, None if metrics is None else metrics.publish)
        server = uvicorn.Server(http_config(app, stop_timeout=settings.stop_timeout, tls=tls))
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listener])
    if not server.started:
        raise CannotStart(_NOT_STARTED)


def _metrics(settings: Settings, workers: int, stack: ExitStack) -> Answering | None:
    """Begins to answer scrapes, where the settings ask for it, until the stack ends. Raises CannotStart."""
    if settings.metrics is None:
        return None
    try:
        return stack.enter_context(answering(settings.metrics, workers=workers))
    except OSError as error:
        host, port = settings.metrics
        raise CannotStart(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another with FHIRSTORE_METRICS"
        ) from error


def _greet(
    settings: Settings, listener: socket.socket, locations: list[str], *, workers: int, metrics: Answering | None
) -> None:
    scheme = "http" if settings.tls_cert is None else "https"
    base_url = settings.base_url or f"{scheme}://{_authority(listener)}{FHIR_PATH}"
    tenant = "/{tenant}" if settings.tenant_source == "path" else ""
    lines = [f"fhirstore {__version__}", f"  base URL  {base_url}{tenant}"]
    if metrics is not None:
        lines.append(f"  metrics   {metrics.url}")
    lines += [f"  data      {location}" for location in locations]
    if workers > 1:
        lines.append(f"  workers   {workers}")
    if not settings.authenticates and not is_loopback(settings.host):
        sys.stderr.write("fhirstore: FHIRSTORE_AUTH=none: whoever reaches this server may read and write everything\n")
    if repeats_any_host(settings):
        sys.stderr.write(
            "fhirstore: other machines can reach this server, and links in its answers repeat the Host that a client "
            "sends: set FHIRSTORE_BASE_URL or FHIRSTORE_ALLOWED_HOSTS\n"
        )
    print("\n".join(lines), flush=True)  # noqa: T201 - the output of the command


def _listen(host: str, port: int) -> socket.socket:
    """Returns a socket bound to the port, or to a free one for port 0. Raises CannotStart where it is taken."""
    try:
        return bound(host, port)
    except OSError as error:
        raise CannotStart(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another with HOST and PORT"
        ) from error


def _authority(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
