"""A worker's right to write: it ends with its lease, by the store's clock.

Every PUT of the commit protocol carries a write window that begins when its attempt does. A `Standing` is the clock of
these attempts, and raises LeaseLost once the lease is over or the run has ended. So whatever a stopped or replaced
worker still does, nothing of it appears later than one window after its lease; who takes its place and must be sure
that nothing comes any more waits for that time (`quiet_after`). What it says about lines (results, undoings) has a
window that ends with the lease itself (`until`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from msgspec.structs import replace

from fhirstore.jobs.kind import JobWork
from fhirstore.jobs.lease import LeaseLost
from fhirstore.jobs.pace import Pacer
from fhirstore.objects.facts import Facts

_STEP = 1.0  # seconds


class Standing:
    """The standing of one run of a job, from its beginning on. `tagged`: as in `Context`."""

    def __init__(self, work: JobWork, tagged: Callable[[str], Facts | None] | None = None) -> None:
        self._work = work
        self._began = work.now()
        self._ended = False
        limits = work.context.limits
        self._window = limits.window + limits.apply
        self.context = replace(work.context, now=self.now, tagged=tagged)
        """For all protocols of this run that write."""

    def now(self) -> int:
        """Returns the store's time, epoch ms. Raises LeaseLost when this run may write no more."""
        now = self._work.now()
        if self._ended or now > self._work.expires:
            raise LeaseLost("This worker has lost its job, and writes nothing more for it")
        return now

    @property
    def job(self) -> str:
        """The id of the job."""
        return self._work.metadata.id

    @property
    def pacer(self) -> Pacer:
        """The pace that the worker's jobs go by."""
        return self._work.pacer

    def end(self) -> None:
        """Ends it: what is still under way in this process begins no further attempt."""
        self._ended = True

    @property
    def until(self) -> int:
        """Epoch ms of the store's time up to which this run may say what became of lines. Raises LeaseLost."""
        self.now()
        return self._work.expires

    @property
    def quiet_after(self) -> int:
        """Epoch ms of the store's time from which on nothing appears that an earlier run of this job wrote."""
        return self._began if self._work.epoch <= 1 else self._began + self._window

    async def quiet(self) -> None:
        """Waits for that time."""
        left = self.quiet_after - self._work.now()
        while left >= 0:
            await asyncio.sleep(min(left / 1000 + 0.001, _STEP))
            left = self.quiet_after - self._work.now()  # the store's clock need not run as this machine's does
