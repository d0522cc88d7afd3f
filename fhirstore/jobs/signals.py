"""What the tasks of one process tell each other about jobs, so that they need not wait for the next poll.

Nothing depends on it: another process finds out by the bucket.
"""

from __future__ import annotations

import asyncio


class JobSignals:
    """Wakes the workers of this process, and ends the runs of jobs that this process cancels."""

    def __init__(self) -> None:
        self._workers: set[asyncio.Event] = set()
        self._tenants: set[str] = set()
        self._runs: dict[str, asyncio.Task[None]] = {}

    def add_worker(self) -> asyncio.Event:
        """Returns the event that is set when there may be work."""
        event = asyncio.Event()
        self._workers.add(event)
        return event

    def remove_worker(self, event: asyncio.Event) -> None:
        """Forgets a worker."""
        self._workers.discard(event)

    def work_waits(self, tenant: str | None = None) -> None:
        """Wakes all workers of this process. `tenant`: it has a job that was created here."""
        if tenant is not None and self._workers:
            self._tenants.add(tenant)
        for event in self._workers:
            event.set()

    def tenants(self) -> frozenset[str]:
        """Returns the tenants that had jobs created in this process."""
        return frozenset(self._tenants)

    def began(self, state_key: str, run: asyncio.Task[None]) -> None:
        """A run of the job with this state has begun here."""
        self._runs[state_key] = run
        run.add_done_callback(lambda task: self._ended(state_key, task))

    def is_running(self, state_key: str) -> bool:
        """Whether a run of the job with this state is under way in this process."""
        return state_key in self._runs

    def cancelled(self, state_key: str) -> None:
        """Ends the run of a job that was cancelled, if it is one of this process."""
        run = self._runs.get(state_key)
        if run is not None:
            run.cancel()

    def _ended(self, state_key: str, run: asyncio.Task[None]) -> None:
        if self._runs.get(state_key) is run:
            del self._runs[state_key]
