"""A run: start a server on each kind of store, fill it, export, and measure around it.

What is compared is measured close together, the yardstick before and after: machines have their moments.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from statistics import mean

import httpx
from obstore.store import LocalStore, S3Store

from conformance.abuse.memory import watched
from conformance.bench.exporting import Exporting, download, remove
from conformance.bench.filling import fill, ids
from conformance.bench.raw import files, rate_of_gets
from conformance.rates.load import LoadFailed, Target
from conformance.rates.run import environment, location_of
from conformance.rates.sampling import Effort, Processes, sample
from conformance.rates.servers import fhirstore, raw_client
from conformance.rates.workload import READ, Stored
from conformance.s3servers import S3Server, seaweedfs
from conformance.s3servers import running as s3_running

STORES = ("embedded", "s3")
GETS = 16  # of an export, at once: FHIRSTORE_EXPORT_CONCURRENCY as it comes
CONNECTIONS = (16, 4, 1)  # of clients that read, each with a request under way at all times
_SAMPLE = 1.0  # seconds
_SAMPLES = 3  # of reads alone, before the export beside others and after it
_POOL = 256  # Patients that reads go round
_PREFIX = "fhir"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Reads:
    """Reads per second of so many clients, alone and beside an export."""

    connections: int
    alone: float
    beside: float

    @property
    def kept(self) -> float:
        """The rate beside an export over the rate alone."""
        return self.beside / self.alone


@dataclass(frozen=True, slots=True)
class Result:
    """What one store gave. Rates per second, memory in bytes. `requests`: to the S3 server during the export, by kind.

    `waited`: seconds from the kick-off until the snapshot was settled and a worker had it. `peak`: of the server.
    """

    store: str
    resources: int
    waited: float
    exports: float
    downloads: float
    raw: float
    before: int
    peak: int
    reads: tuple[Reads, ...]
    requests: Mapping[str, int] | None = None

    @property
    def to_raw(self) -> float:
        """The rate of the export over that of plain GETs."""
        return self.exports / self.raw


@dataclass(frozen=True, slots=True)
class _Bench:
    store: str
    base: str
    pid: int
    folder: Path
    s3: S3Server | None


async def run(stores: tuple[str, ...], resources: int, say: Say) -> tuple[Result, ...]:
    """Measure. Raises LoadFailed, ServerFailed."""
    results = []
    with tempfile.TemporaryDirectory(prefix="fhirstore-bench-") as name:
        for store in stores:
            folder = Path(name) / store
            folder.mkdir()
            with _served(store, folder) as bench:
                results.append(await _measure(bench, resources, say))
    return tuple(results)


@contextmanager
def _served(store: str, folder: Path) -> Iterator[_Bench]:
    with ExitStack() as stack:
        s3 = stack.enter_context(s3_running(seaweedfs, folder / "weed")) if store == "s3" else None
        stack.enter_context(environment(s3.serving(s3.location(_PREFIX)) if s3 else {}))
        server = stack.enter_context(fhirstore(location_of(store, folder, _PREFIX, s3), folder))
        yield _Bench(store, server.url, server.pid, folder, s3)


async def _measure(bench: _Bench, resources: int, say: Say) -> Result:
    target, wanted = Target.of(bench.base), ids(resources)
    say(f"{bench.store}: storing {resources:,} Patients")
    await fill(target, resources)
    async with httpx.AsyncClient(timeout=120, trust_env=False) as client:
        objects = _objects(bench, wanted)
        say(f"{bench.store}: plain GETs")
        raw = [await rate_of_gets(objects, wanted, at_once=GETS)]
        say(f"{bench.store}: an export alone")
        counted = bench.s3.requests() if bench.s3 else {}
        with watched(bench.pid) as memory:
            exported = await Exporting(client, bench.base).export()
        requests = _difference(bench.s3.requests(), counted) if bench.s3 else None
        say(f"{bench.store}: its files")
        size, seconds = await download(client, exported, expected=resources)
        await remove(client, exported)
        say(f"{bench.store}: plain GETs, again")
        raw += [await rate_of_gets(objects, wanted, at_once=GETS)]
        say(f"{bench.store}: reads alone")
        alone = await _reads_alone(target, wanted)
        say(f"{bench.store}: reads beside an export")
        beside = await _reads_beside(client, bench, target, wanted)
        say(f"{bench.store}: reads alone, again")
        again = await _reads_alone(target, wanted)
    return Result(
        store=bench.store,
        resources=resources,
        waited=exported.waited,
        exports=resources / exported.working,
        downloads=size / seconds,
        raw=mean(raw),
        before=memory.before,
        peak=memory.peak,
        reads=tuple(Reads(n, mean(alone[n] + again[n]), mean(beside[n])) for n in CONNECTIONS),
        requests=requests,
    )


def _objects(bench: _Bench, wanted: list[str]) -> S3Store | LocalStore:
    return raw_client(bench.s3, _PREFIX) if bench.s3 else files(wanted, bench.folder / "raw")


async def _reads(target: Target, wanted: list[str], connections: int) -> float:
    stored = [Stored(id_, "1") for id_ in wanted[:: max(1, len(wanted) // _POOL)]]
    effort = Effort(connections=connections, seconds=_SAMPLE)
    taken = await sample(target, READ.calls(stored), expected=READ.expected, effort=effort, processes=Processes())
    if taken.unexpected:
        raise LoadFailed(f"reads were answered {taken.unexpected}")
    return taken.rate


async def _reads_alone(target: Target, wanted: list[str]) -> dict[int, list[float]]:
    """Some samples, by connections."""
    return {n: [await _reads(target, wanted, n) for _ in range(_SAMPLES)] for n in CONNECTIONS}


async def _reads_beside(
    client: httpx.AsyncClient, bench: _Bench, target: Target, wanted: list[str]
) -> dict[int, list[float]]:
    """The samples during which an export was at work from begin to end, by connections."""
    exporting = Exporting(client, bench.base)
    running = asyncio.create_task(exporting.export())
    rates: dict[int, list[float]] = {n: [] for n in CONNECTIONS}
    try:
        await exporting.working.wait()
        for connections in cycle(CONNECTIONS):
            if running.done():
                break
            rate = await _reads(target, wanted, connections)
            if not running.done():
                rates[connections].append(rate)
        await remove(client, await running)
    finally:
        running.cancel()
    if not all(rates.values()):
        raise LoadFailed(f"the export was done before {len(rates)} samples of {_SAMPLE:.0f} s: take more --resources")
    return rates


def _difference(after: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    counts = {kind: count - before.get(kind, 0) for kind, count in after.items()}
    return {kind: count for kind, count in sorted(counts.items()) if count}
