"""A run: start a server on each kind of store, fill it, export, and measure around it.

What is compared is measured close together, the yardstick before and after: machines have their moments.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
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
READS = Effort(connections=16, seconds=1.0)
_SAMPLES = 3  # of reads alone, before the export beside others and after it
_POOL = 256  # Patients that reads go round
_PREFIX = "fhir"

Say = Callable[[str], None]


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
    reads_alone: float
    reads_beside: float
    requests: Mapping[str, int] | None = None

    @property
    def to_raw(self) -> float:
        """The rate of the export over that of plain GETs."""
        return self.exports / self.raw

    @property
    def reads_kept(self) -> float:
        """The rate of reads beside an export over that of reads alone."""
        return self.reads_beside / self.reads_alone


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
        alone = [await _reads(target, wanted) for _ in range(_SAMPLES)]
        say(f"{bench.store}: reads beside an export")
        beside = await _reads_beside(client, bench, target, wanted)
        say(f"{bench.store}: reads alone, again")
        alone += [await _reads(target, wanted) for _ in range(_SAMPLES)]
    return Result(
        store=bench.store,
        resources=resources,
        waited=exported.waited,
        exports=resources / exported.working,
        downloads=size / seconds,
        raw=mean(raw),
        before=memory.before,
        peak=memory.peak,
        reads_alone=mean(alone),
        reads_beside=beside,
        requests=requests,
    )


def _objects(bench: _Bench, wanted: list[str]) -> S3Store | LocalStore:
    return raw_client(bench.s3, _PREFIX) if bench.s3 else files(wanted, bench.folder / "raw")


async def _reads(target: Target, wanted: list[str]) -> float:
    stored = [Stored(id_, "1") for id_ in wanted[:: max(1, len(wanted) // _POOL)]]
    taken = await sample(target, READ.calls(stored), expected=READ.expected, effort=READS, processes=Processes())
    if taken.unexpected:
        raise LoadFailed(f"reads were answered {taken.unexpected}")
    return taken.rate


async def _reads_beside(client: httpx.AsyncClient, bench: _Bench, target: Target, wanted: list[str]) -> float:
    """The mean rate of the samples during which an export was at work from begin to end."""
    exporting = Exporting(client, bench.base)
    running = asyncio.create_task(exporting.export())
    rates: list[float] = []
    try:
        await exporting.working.wait()
        while not running.done():
            rate = await _reads(target, wanted)
            if not running.done():
                rates.append(rate)
        await remove(client, await running)
    finally:
        running.cancel()
    if not rates:
        raise LoadFailed(f"the export was done before a sample of {READS.seconds:.0f} s: take more --resources")
    return mean(rates)


def _difference(after: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    counts = {kind: count - before.get(kind, 0) for kind, count in after.items()}
    return {kind: count for kind, count in sorted(counts.items()) if count}
