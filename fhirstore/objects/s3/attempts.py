"""When a request to S3 may be sent, and when it may be sent again: circuit breaker and retry budget together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fhirstore.clock import Clock
from fhirstore.errors import FhirStoreError, StoreBusy
from fhirstore.objects.retries import retry_budget
from fhirstore.objects.s3.circuit import Circuit
from fhirstore.objects.s3.options import S3Options

_T = TypeVar("_T")


class Attempts:
    """The attempts at requests to one bucket."""

    def __init__(self, circuit: Circuit, options: S3Options, clock: Clock) -> None:
        self._circuit = circuit
        self._options = options
        self._clock = clock

    def admit(self, key: str) -> int:
        """Returns the time, epoch ms, if a request may be sent. Raises StoreBusy while the circuit is open."""
        seconds = self._circuit.refused()
        if seconds:
            budget = retry_budget()
            if budget is not None:
                budget.refuse(seconds)
            raise StoreBusy(key, f"not sent: the store keeps failing; the next try is in {seconds:.0f} s")
        return self._clock.now()

    async def repeated(
        self, name: str, attempt: Callable[[], Awaitable[_T]], while_raising: tuple[type[FhirStoreError], ...]
    ) -> _T:
        """Try up to `attempts` times with growing, jittered pauses, within the retry budget of the client request.

        Work without a budget waits for the next probe while the circuit is open. `name`: see `RetryBudget.take`.
        """
        failures = 0
        while True:
            try:
                return await attempt()
            except while_raising as error:
                failures += 1
                budget = retry_budget()
                if failures >= self._options.attempts or (budget is not None and not budget.take((name,))):
                    raise
                pause = self._options.pause(failures)
                if budget is None:
                    pause = max(pause, self._circuit.due_in)
                self._options.tell(name, failures, pause, busy=isinstance(error, StoreBusy))
                await asyncio.sleep(pause)
