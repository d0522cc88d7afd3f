"""One sample: so many seconds of one kind of request, its rate and what it cost. Many samples make a row."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import obstore
from obstore.store import S3Store

from conformance.rates.cpu import cpu_seconds
from conformance.rates.load import Target, offer
from conformance.rates.patients import patients
from conformance.rates.workload import Call


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard a sample tries."""

    connections: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Processes:
    """Whose CPU time is read: the server's, the S3 server's. None: not ours to look at, or there is none."""

    server: int | None = None
    s3: int | None = None

    def spent(self) -> tuple[float, float]:
        """CPU seconds so far, of each."""
        return (cpu_seconds(self.server) if self.server else 0.0, cpu_seconds(self.s3) if self.s3 else 0.0)


@dataclass(frozen=True, slots=True)
class Sample:
    """`rate`: expected answers per second. CPU in µs per answer. `unexpected`: other answers, by status."""

    rate: float
    cpu_us: float | None = None
    s3_cpu_us: float | None = None
    unexpected: dict[int, int] = field(default_factory=dict)
    locations: tuple[str, ...] = ()


async def sample(
    target: Target,
    calls: Iterator[Call],
    *,
    expected: tuple[int, ...],
    effort: Effort,
    processes: Processes,
    keep_locations: bool = False,
) -> Sample:
    """Send `calls` to a server. Raises LoadFailed."""
    requests = (target.request(call.method, call.path, call.body, call.headers) for call in calls)
    before = processes.spent()
    tally = await offer(
        target,
        requests,
        connections=effort.connections,
        seconds=effort.seconds,
        keep_locations=keep_locations,
    )
    after = processes.spent()
    unexpected = tally.others(expected)
    answers = tally.requests - sum(unexpected.values())
    return Sample(
        rate=answers / tally.seconds,
        cpu_us=_each(after[0] - before[0], answers) if processes.server else None,
        s3_cpu_us=_each(after[1] - before[1], answers) if processes.s3 else None,
        unexpected=unexpected,
        locations=tally.locations,
    )


async def sample_raw_puts(client: S3Store, *, effort: Effort, processes: Processes) -> Sample:
    """The yardstick on S3: plain PUTs of the same bodies by the client that the server uses, and nothing around."""
    bodies = enumerate(patients())
    done = 0
    before = processes.spent()
    begin = time.perf_counter()

    async def keep_putting() -> None:
        nonlocal done
        while time.perf_counter() < begin + effort.seconds:
            serial, body = next(bodies)
            await obstore.put_async(client, f"{serial:08d}", body, use_multipart=False)
            done += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(effort.connections):
            group.create_task(keep_putting())
    seconds = time.perf_counter() - begin
    after = processes.spent()
    return Sample(rate=done / seconds, s3_cpu_us=_each(after[1] - before[1], done) if processes.s3 else None)


def _each(seconds: float, answers: int) -> float:
    return seconds * 1e6 / answers if answers else 0.0
