"""A worker in a process of its own: `python -m tests.jobs.worker_process LOCATION`. It says each step on stdout."""

from __future__ import annotations

import asyncio
import signal
import sys

from fhirstore import FhirStore, JobWork
from tests.jobs.working import Steps

LEASE = 1_000  # ms


def _say(work: JobWork, done: int) -> None:
    sys.stdout.write(f"{work.epoch} {done}\n")
    sys.stdout.flush()


async def main(location: str) -> None:
    """Works until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with FhirStore.open(location) as store:
        kind = Steps(lease=LEASE, step=_say, pause=0.1)
        await store.worker(kinds=[kind], poll=0.2).run(stop)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
