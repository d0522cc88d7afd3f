"""What a process tells of itself: memory, CPU time, its event loop, its connections, its jobs."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from fhirstore import FhirStore, Worker, __version__
from server.observing.catalogue import (
    BUILD,
    BYTES_IN_FLIGHT,
    BYTES_MOST,
    CONNECTIONS,
    CONNECTIONS_MOST,
    CONNECTIONS_REFUSED,
    CONNECTIONS_TIMED_OUT,
    CPU,
    INDEX_BYTES,
    INDEX_LAG,
    INDEX_NOT_READY,
    INDEX_QUEUED,
    INDEX_RESOURCES,
    JOBS_LEASE,
    JOBS_LIVE,
    JOBS_OLDEST,
    JOBS_RUNNING,
    RESIDENT,
    STARTED,
    Metric,
)
from server.observing.measures import Gauges, Measures
from server.observing.snapshot import Labels, Snapshot
from server.process.connections import Connections
from server.settings import Settings

_TICK = 0.25  # seconds
_TICKS = 4  # between two snapshots
_STATM = Path("/proc/self/statm")

Series = Iterable[tuple[Metric, Labels, float]]


async def keep_publishing(measures: Measures, publish: Callable[[Snapshot], None]) -> None:
    """Measures the event loop and publishes a snapshot once a second, until cancelled; then once more."""
    try:
        while True:
            _try(publish, measures.snapshot())
            for _ in range(_TICKS):
                due = time.perf_counter() + _TICK  # the loop's own clock may count milliseconds
                await asyncio.sleep(_TICK)
                measures.lag.append(max(0.0, time.perf_counter() - due))
                measures.fold()
    finally:
        _try(publish, measures.snapshot())


def _try(publish: Callable[[Snapshot], None], snapshot: Snapshot) -> None:
    """A full or missing directory of temporary files must not end the server: the next snapshot may succeed."""
    try:
        publish(snapshot)
    except OSError:
        return


def of_process(settings: Settings) -> Gauges:
    """Returns the values of this process that are always there."""
    pid = str(os.getpid())
    started = time.time()
    store = settings.store.partition(":")[0]

    def gauges() -> Series:
        used = resource.getrusage(resource.RUSAGE_SELF)
        yield BUILD, (__version__, settings.fhir_version, store), 1
        yield RESIDENT, (pid,), _resident(used.ru_maxrss)
        yield CPU, (pid,), used.ru_utime + used.ru_stime
        yield STARTED, (pid,), started

    return gauges


def _resident(most: int) -> int:
    """Returns the bytes of memory in use; where the system does not say it, the most that ever were (`most`)."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return most if sys.platform == "darwin" else most * 1024


def of_connections(connections: Connections) -> Gauges:
    """Returns the values of a server's connections."""

    def gauges() -> Series:
        yield CONNECTIONS, (), len(connections)
        yield CONNECTIONS_MOST, (), connections.most
        yield CONNECTIONS_REFUSED, (), connections.refused
        yield CONNECTIONS_TIMED_OUT, (), connections.timed_out
        yield BYTES_IN_FLIGHT, (), connections.in_flight.used
        yield BYTES_MOST, (), connections.in_flight.limit

    return gauges


def of_jobs(worker: Worker) -> Gauges:
    """Returns the values of the jobs that a worker sees."""

    def gauges() -> Series:
        status = worker.status()
        for kind in worker.kinds:
            yield JOBS_LIVE, (kind,), status.live.get(kind, 0)
            yield JOBS_OLDEST, (kind,), status.oldest.get(kind, 0.0)
        yield JOBS_RUNNING, (), status.running
        yield JOBS_LEASE, (), status.lease

    return gauges


def of_indexes(store: FhirStore) -> Gauges:
    """Returns the values of the search indexes that this process looks after."""

    def gauges() -> Series:
        indexes = store.indexes
        led = [one for one in indexes if one.leads]
        yield INDEX_LAG, (), max([one.lag or 0.0 for one in led], default=0.0)
        yield INDEX_QUEUED, (), sum(one.queued for one in indexes)
        yield INDEX_NOT_READY, (), sum(one.is_hindered for one in indexes)
        yield INDEX_RESOURCES, (), sum(one.resources for one in led)
        yield INDEX_BYTES, (), sum(one.size for one in led)

    return gauges
