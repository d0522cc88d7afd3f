"""A circuit breaker for one object store: while the store keeps failing, requests are refused without being sent.

| state | a request | an answer | a failure |
|---|---|---|---|
| closed | is sent | resets the count of failures in a row | counts; number `FAILURES` opens the circuit |
| open, not due | is refused | closes it (of one sent earlier) | nothing (of one sent earlier) |
| open, due | is sent, as the probe; the others are refused | closes it | opens it for twice as long |

A failure is no answer, or one that means that the store is in trouble: 5xx, 429. Any other is an answer, also 404, 409
and 412. A probe without a reported result is given `PROBE` ms; then the next request is the probe.
"""

from __future__ import annotations

from collections.abc import Callable

from fhirstore.clock import Clock, Ids

FAILURES = 20
"""Failures in a row that open the circuit."""

SHORTEST, LONGEST = 1.0, 30.0
"""Seconds that the circuit stays open: doubled with every probe that fails."""

PROBE = 30_000
SLOW = 5_000
"""Milliseconds after which a request that its caller cancelled counts as a failure."""


class Circuit:
    """The circuit of one store. `ids` gives jitter. `on_change`: gets True when it opens, False when it closes."""

    def __init__(self, clock: Clock, ids: Ids, on_change: Callable[[bool], None] | None = None) -> None:
        self._on_change = on_change
        self._clock = clock
        self._ids = ids
        self._failures = 0
        self._due: int | None = None  # epoch ms of the next probe; None: closed
        self._probing = False
        self._seconds = SHORTEST

    @property
    def due_in(self) -> float:
        """The seconds until the next probe; 0 if it is due or the circuit is closed."""
        if self._due is None:
            return 0.0
        wait = self._due - self._clock.now()
        return wait / 1000 if 0 < wait <= PROBE else 0.0  # longer only if the clock was set back

    def refused(self) -> float:
        """Returns 0 where a request may be sent now, else the seconds until the next probe is due."""
        if self._due is None:
            return 0.0
        seconds = self.due_in
        if not seconds:
            self._due, self._probing = self._clock.now() + PROBE, True
        return seconds

    def answered(self) -> None:
        """Note that a request was answered."""
        if self._failures or self._due is not None:
            if self._due is not None and self._on_change is not None:
                self._on_change(False)
            self._failures, self._due, self._probing, self._seconds = 0, None, False, SHORTEST

    def failed(self) -> None:
        """Note that a request failed."""
        self._failures += 1
        if self._due is not None:
            if self._probing:
                self._open(min(self._seconds * 2, LONGEST))
        elif self._failures >= FAILURES:
            self._open(SHORTEST)

    def given_up(self, sent: int) -> None:
        """Note that the caller cancelled a request sent at `sent`, epoch ms: a failure if it had waited for `SLOW`."""
        if self._clock.now() - sent >= SLOW:
            self.failed()
        elif self._probing:
            self._due = self._clock.now()  # the result is unknown, so the next request is the probe

    def _open(self, seconds: float) -> None:
        if self._due is None and self._on_change is not None:
            self._on_change(True)
        self._seconds = seconds
        self._probing = False
        self._due = self._clock.now() + int(1000 * seconds * self._ids.jitter(0.75, 1.0))
