"""The load itself: reads a little ahead, keeps a bounded number of requests in flight, counts the results.

Resources are sent in the order of the files, as far as the concurrency allows; two versions of one id are never in
flight together, so that the last one in the files is the current one on the server. Where Bundles are processed, files
are sent in groups (`order`), so that resources that transactions refer to are sent before them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from fhirstore.clock import SystemClock, SystemIds
from server.commands.interruption import Interruption
from server.commands.load.order import in_turns
from server.commands.load.reading import (
    BUNDLE_MODES,
    Bundle,
    CannotLoad,
    Found,
    Reader,
    Resource,
    Unreadable,
    find_files,
)
from server.commands.load.sending import Outcome, Sender
from server.commands.load.summary import LoadSummary, Reach, Tally
from server.commands.outcomes import Cause
from server.commands.retries import NO_ANSWER, Retries
from server.commands.urls import fhir_base

_FHIR_JSON = "application/fhir+json"
_BATCH = 64  # resources that the reading thread returns at once, at most
_BATCH_BYTES = 1 << 20  # bytes after which it returns fewer
_SECONDS = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=120)
_BUNDLES = 4  # in flight at most: each is many writes at once
# Shorter than servers keep a connection (uvicorn: 5 s), so that a POST does not run into its closing.
_KEEP_ALIVE = 3.0
_GIVEN_UP = Cause(0, "", "Interrupted before the answer came")


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a load. `position` of `total` bytes of the files are read; resources stored and failed so far."""

    position: int
    total: int
    stored: int
    failed: int


async def load(
    paths: Sequence[Path],
    url: str,
    *,
    concurrency: int = 16,
    bundles: str = "process",
    headers: Mapping[str, str] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    retries: Retries | None = None,
    interruption: Interruption | None = None,
) -> LoadSummary:
    """Sends the resources in the files at `paths` to the FHIR server at the base `url`.

    `bundles`: "process" sends a batch or transaction to be processed, transactions last, and the resources in another
    container one by one; "entries" sends the resources in any container one by one; "whole" stores the Bundle itself,
    as a document or a message always is. `headers`: of every request. `interruption`: ends it early. Raises CannotLoad
    before anything is sent; later failures are in the summary.
    """
    interruption = interruption or Interruption()
    interruption.ends(asyncio.current_task())
    if bundles not in BUNDLE_MODES:
        raise CannotLoad(f"Bundles are sent in one of these ways: {', '.join(BUNDLE_MODES)}")
    base = _base(url)
    files = find_files(paths)
    turns = in_turns(files) if bundles == "process" else [files]
    readers = [Reader(turn, bundles=bundles) for turn in turns]
    every = {"Content-Type": _FHIR_JSON, "Accept": _FHIR_JSON, "Prefer": "return=minimal", **(headers or {})}
    connector = aiohttp.TCPConnector(limit=concurrency, keepalive_timeout=_KEEP_ALIVE)
    async with aiohttp.ClientSession(connector=connector, timeout=_SECONDS, headers=every, trust_env=True) as client:
        sender = Sender(client, base, retries=retries or Retries(), clock=SystemClock(), ids=SystemIds())
        run = _Run(readers, sender, concurrency, on_progress, interruption=interruption)
        try:
            await _reach(client, base)
            await run.send()
            await asyncio.sleep(0)  # lets a signal that arrived with the last answer be handled
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or not interruption.given_up or task.uncancel() > 0:
                raise
        finally:
            interruption.ends(None)
        return run.summary(base)


class _Run:
    """One load, from the first resource to the last answer."""

    def __init__(
        self,
        readers: Sequence[Reader],
        sender: Sender,
        concurrency: int,
        on_progress: Callable[[Progress], None] | None,
        *,
        interruption: Interruption,
    ) -> None:
        self._readers = readers
        self._sender = sender
        self._slots = asyncio.Semaphore(concurrency)
        self._bundles = asyncio.Semaphore(min(concurrency, _BUNDLES))
        self._on_progress = on_progress
        self._tally = Tally()
        self._in_flight: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._interruption = interruption
        self._began = time.perf_counter()
        self._stopped: str | None = None
        self._last: str | None = None  # the source of what was sent last

    async def send(self) -> None:
        """Sends everything and waits for the last answer, unless something stops it."""
        self._interruption.begins_to_send()
        for reader in self._readers:
            if self._stopped is None and not self._interruption.came():
                self._stopped = await self._load(reader)

    def summary(self, base: str) -> LoadSummary:
        """Returns the results of what was sent until now."""
        by = self._interruption.by
        position, total = self._position()
        return self._tally.summary(
            base,
            seconds=time.perf_counter() - self._began,
            stopped=f"interrupted by {by.name}" if by is not None else self._stopped,
            reach=Reach(self._last, position, total),
        )

    async def _load(self, reader: Reader) -> str | None:
        """Sends what `reader` reads and waits for the last answer. Returns why it stopped early, if it did."""
        items = iter(reader)
        async with asyncio.TaskGroup() as requests:
            while batch := await asyncio.to_thread(_batch, items):
                for found in batch:
                    if self._interruption.came():
                        return None
                    if isinstance(found, Resource):
                        await self._start(found, requests)
                    elif isinstance(found, Bundle):
                        await self._bundles.acquire()
                        await self._slots.acquire()
                        if self._interruption.came():
                            return None
                        self._last = found.source
                        requests.create_task(self._process(found))
                    elif isinstance(found, Unreadable):
                        self._tally.add_unreadable(found)
                        self._report()
                    else:
                        self._tally.skipped += 1
                    if self._sender.lost:
                        return f"the server cannot be reached any more; {found.source} was the last one tried"
        return None

    async def _start(self, resource: Resource, requests: asyncio.TaskGroup) -> None:
        key = None if resource.id is None else (resource.type, resource.id)
        if key is not None and (earlier := self._in_flight.get(key)) is not None:
            await asyncio.wait([earlier])
        await self._slots.acquire()
        if self._interruption.came():
            return
        self._last = resource.source
        task = requests.create_task(self._send(resource))
        if key is not None:
            self._in_flight[key] = task
            task.add_done_callback(lambda done: self._forget(key, done))

    def _forget(self, key: tuple[str, str], done: asyncio.Task[None]) -> None:
        if self._in_flight.get(key) is done:
            del self._in_flight[key]

    async def _send(self, resource: Resource) -> None:
        try:
            self._tally.add(await self._sender.send(resource))
        except asyncio.CancelledError:
            self._tally.add(Outcome(resource.source, resource.type, "unknown", len(resource.body), 0, _GIVEN_UP))
            raise
        finally:
            self._slots.release()
        self._report()

    async def _process(self, bundle: Bundle) -> None:
        try:
            for outcome in await self._sender.process(bundle):
                self._tally.add(outcome)
        except asyncio.CancelledError:
            for n, request in enumerate(bundle.requests):
                source = f"{bundle.source} entry[{n}]"
                self._tally.add(Outcome(source, request.type or "(unknown)", "unknown", 0, 0, _GIVEN_UP))
            raise
        finally:
            self._slots.release()
            self._bundles.release()
        self._report()

    def _report(self) -> None:
        if self._on_progress is not None:
            self._on_progress(Progress(*self._position(), self._tally.stored, self._tally.failed))

    def _position(self) -> tuple[int, int]:
        return sum(reader.position for reader in self._readers), sum(reader.total for reader in self._readers)


def _batch(items: Iterator[Found]) -> list[Found]:
    """Returns the next few items. The caller runs it in a thread, since it reads files and parses."""
    batch: list[Found] = []
    size = 0
    for item in items:
        batch.append(item)
        size += len(item.body) if isinstance(item, Resource | Bundle) else 0
        if len(batch) >= _BATCH or size >= _BATCH_BYTES:
            break
    return batch


def _base(url: str) -> str:
    base = fhir_base(url)
    if base is None:
        raise CannotLoad(f"{url}: not a FHIR base URL, such as http://127.0.0.1:8000/fhir")
    return base


async def _reach(client: aiohttp.ClientSession, base: str) -> None:
    """Raises CannotLoad where no server answers a GET; its answer does not matter, it may ask for a login."""
    try:
        async with client.get(f"{base}/metadata"):
            pass
    except NO_ANSWER as error:
        raise CannotLoad(f"{base}: no answer ({type(error).__name__}). Is the server running?") from error
