"""`fhirstore worker`: does the background work of a store: it runs jobs, and sweeps.

Any number of workers may run, beside servers that run jobs too. A lease in the bucket lets one at a time work on a job,
and sweep a tenant.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import ExitStack

from fhirstore import FhirStore, Worker
from fhirstore.errors import FhirStoreError
from server.auditing.opening import auditing
from server.commands.each_tenant import FAILED
from server.observing.answering import Publish, answering
from server.observing.measures import Measures
from server.observing.observers import Observers
from server.observing.process import keep_publishing, of_jobs, of_process
from server.process.deployment import open_store
from server.process.ending import Ending, ended_in
from server.settings import Settings


def run_worker(settings: Settings, *, every: float, metrics: tuple[str, int] | None = None) -> int:
    """Works until SIGTERM or SIGINT; a pass of the sweeper begins every `every` seconds. 2: could not start.

    At the end jobs and the lease of a pass under way are handed back, so that another worker goes on at once.
    `metrics`: where scrapes are answered.
    """

    async def go(publish: Publish | None) -> None:
        ending = Ending(within=ended_in(drain=0, answered=settings.stop_timeout, audits=settings.audit != "off"))
        ending.handle_signals(alone=True)
        stop = ending.begun
        measures = None if publish is None else Measures()
        async with open_store(settings, observers=Observers(measures)) as store:
            await store.check()
            await store.refuse_unfinished_copies()
            _say(f"working every {every:g} s on {', '.join(objects.location for objects in store.tenancy.stores)}")
            async with auditing(settings, store) as audit:
                ran = (lambda *_: None) if audit is None else audit.ran
                worker = store.worker(at_once=settings.jobs_at_once, say=_say, activity=_no_clients, ran=ran)
                if audit is not None and measures is not None:
                    measures.add(audit.gauges)
                publishing = asyncio.create_task(_publish(measures, publish, settings, worker))
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(worker.run(stop))
                    tasks.create_task(_sweep_again_and_again(store, stop, every))
            publishing.cancel()
            await asyncio.wait([publishing])

    with ExitStack() as stack:
        try:
            answers = None if metrics is None else stack.enter_context(answering(metrics))
        except OSError as error:
            _say(f"cannot listen for scrapes: {error.strerror}; choose another address with --metrics")
            return FAILED
        if answers is not None:
            _say(f"metrics at {answers.url}")
        try:
            asyncio.run(go(None if answers is None else answers.publish))
        except FhirStoreError as error:
            _say(str(error))
            return FAILED
    return 0


async def _publish(measures: Measures | None, publish: Publish | None, settings: Settings, worker: Worker) -> None:
    """Publishes the metrics until cancelled."""
    if measures is not None and publish is not None:
        measures.add(of_process(settings))
        measures.add(of_jobs(worker))
        await keep_publishing(measures, publish)


def _no_clients() -> tuple[int, int]:
    """Requests begun, and under way: this process serves none, so its jobs go at full speed."""
    return 0, 0


async def _sweep_again_and_again(store: FhirStore, stop: asyncio.Event, every: float) -> None:
    while not stop.is_set():
        await _sweep_all(store, stop)
        try:
            await asyncio.wait_for(stop.wait(), every)
        except TimeoutError:
            continue


async def _sweep_all(store: FhirStore, stop: asyncio.Event) -> None:
    """One pass over all tenants. The failure of one is printed, and it is tried again in the next pass."""
    try:
        names = await store.tenancy.names()
    except FhirStoreError as error:
        _say(f"cannot list the tenants: {error}")
        return
    for name in names:
        if stop.is_set():
            return
        try:
            report = await store.tenant(name).upkeep.sweep(stopping=stop.is_set)
        except FhirStoreError as error:
            _say(f"sweep of {name}: {error}")
        else:
            removed = (report.orphans, report.slots, report.run_files, report.uploads, report.payloads)
            if any((*removed, report.unclear)):
                _say(
                    f"sweep of {name}: {report.orphans} orphans, {report.slots} slots, {report.run_files} run files,"
                    f" {report.uploads} uploads, {report.payloads} payloads removed, {report.unclear} unclear"
                )


def _say(line: str) -> None:
    sys.stderr.write(f"fhirstore: {line}\n")
