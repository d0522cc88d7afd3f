"""A run: start what is to be measured, take samples in rounds, so that a noisy moment hits both sides of a ratio."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice, repeat
from pathlib import Path
from urllib.parse import urlsplit

from obstore.store import S3Store

from conformance.rates.load import LoadFailed, Target
from conformance.rates.patients import patients
from conformance.rates.rows import EMPTY_GET, EMPTY_POST, RAW_PUT, Row, Subject, ratios
from conformance.rates.sampling import Effort, Processes, Sample, sample, sample_raw_puts
from conformance.rates.servers import Running, empty_endpoint, fhirstore, raw_client
from conformance.rates.workload import CREATE, DELETE, READ, REGISTER, UPDATE, VREAD, Call, Interaction, Stored, creates
from conformance.s3servers import S3Server, seaweedfs
from conformance.s3servers import running as s3_running

STORES = ("memory", "embedded", "s3")
POOL = 256  # Patients that reads and updates go round; far more than connections, so that updates do not meet
SEEDING_SECONDS = 120.0  # a peer may be slow

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure: `stores` of ours, or the server at `url` (with its `pid`, its CPU too)."""

    effort: Effort
    rounds: int
    stores: tuple[str, ...] = STORES
    url: str | None = None
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class _Bench:
    """One server under measurement and its yardsticks."""

    name: str
    target: Target
    processes: Processes
    empty: Running
    raw: S3Store | None = None


async def run(plan: Plan, say: Say) -> tuple[Subject, ...]:
    """Measure. Raises LoadFailed, ServerFailed."""
    subjects = []
    with tempfile.TemporaryDirectory(prefix="fhirstore-rates-") as name:
        folder = Path(name)
        with empty_endpoint(folder) as empty:
            if plan.url:
                peer = _Bench(urlsplit(plan.url).netloc, Target.of(plan.url), Processes(plan.pid), empty)
                return (await _measure(peer, plan, say),)
            for store in plan.stores:
                say(f"{store}: starting")
                place = folder / store
                place.mkdir()
                with _ours(store, place, empty) as bench:
                    subjects.append(await _measure(bench, plan, say))
    return tuple(subjects)


@contextmanager
def _ours(store: str, folder: Path, empty: Running) -> Iterator[_Bench]:
    """`fhirstore serve` on one kind of store."""
    with ExitStack() as stack:
        s3 = stack.enter_context(s3_running(seaweedfs, folder / "weed")) if store == "s3" else None
        stack.enter_context(environment(s3.serving(s3.location("fhir")) if s3 else {}))
        server = stack.enter_context(fhirstore(location_of(store, folder, "fhir", s3), folder))
        processes = Processes(server.pid, s3.pid if s3 else None)
        yield _Bench(store, Target.of(server.url), processes, empty, raw_client(s3, "raw") if s3 else None)


def location_of(store: str, folder: Path, part: str, s3: S3Server | None) -> str:
    """The store of that kind as FHIRSTORE_STORE names it."""
    if s3 is not None:
        return s3.location(part)
    return "memory:" if store == "memory" else f"file:{folder / part}"


@contextmanager
def environment(names: Mapping[str, str]) -> Iterator[None]:
    """Settings and credentials reach the server, and S3 clients in this process, by the environment: by these alone."""
    before = dict(os.environ)
    for name in before:
        if name.startswith(("FHIRSTORE_", "AWS_")):
            del os.environ[name]
    os.environ.update(names)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


async def _measure(bench: _Bench, plan: Plan, say: Say) -> Subject:
    stored = await _seed(bench)
    samples: dict[str, list[Sample]] = {}
    for number in range(plan.rounds):
        say(f"{bench.name}: round {number + 1} of {plan.rounds}")
        async for name, taken in _round(bench, plan.effort, stored):
            samples.setdefault(name, []).append(taken)
    rows = tuple(Row.of(name, taken) for name, taken in samples.items())
    return Subject(bench.name, rows, ratios(bench.name, samples))


async def _seed(bench: _Bench) -> list[Stored]:
    effort = Effort(connections=8, seconds=SEEDING_SECONDS)
    seeded = await _sample(bench, CREATE, islice(creates(), POOL), effort)
    if seeded.unexpected or not seeded.locations:
        raise LoadFailed(f"{bench.name}: creating Patients was answered with {seeded.unexpected or 'no Location'}")
    return [Stored.at(location) for location in seeded.locations]


async def _round(bench: _Bench, effort: Effort, stored: list[Stored]) -> AsyncIterator[tuple[str, Sample]]:
    """Every row once; the two sides of each ratio close together."""
    if bench.raw is not None:
        yield RAW_PUT, await sample_raw_puts(bench.raw, effort=effort, processes=Processes(s3=bench.processes.s3))
    created = await _sample(bench, CREATE, creates(), effort)
    yield CREATE.name, created
    yield EMPTY_GET, await _sample_empty(bench.empty, Call("GET", "/"), effort)
    for interaction in (READ, VREAD):
        yield interaction.name, await _sample(bench, interaction, interaction.calls(stored), effort)
    yield EMPTY_POST, await _sample_empty(bench.empty, Call("POST", "/", next(patients())), effort)
    yield REGISTER.name, await _sample(bench, REGISTER, REGISTER.calls(stored), effort)
    yield UPDATE.name, await _sample(bench, UPDATE, UPDATE.calls(stored), effort)
    deletable = [Stored.at(location) for location in created.locations]
    yield DELETE.name, await _sample(bench, DELETE, DELETE.calls(deletable), effort)


async def _sample(bench: _Bench, interaction: Interaction, calls: Iterator[Call], effort: Effort) -> Sample:
    return await sample(
        bench.target,
        calls,
        expected=interaction.expected,
        effort=effort,
        processes=bench.processes,
        keep_locations=interaction is CREATE,
    )


async def _sample_empty(empty: Running, call: Call, effort: Effort) -> Sample:
    processes = Processes(empty.pid)
    return await sample(Target.of(empty.url), repeat(call), expected=(200,), effort=effort, processes=processes)
