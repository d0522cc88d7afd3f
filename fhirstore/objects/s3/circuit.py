"""A circuit breaker for one object store: while it keeps failing, requests are refused here and not sent.

| state | a request | an answer | a failure |
|---|---|---|---|
| closed | is sent | the count of failures in a row starts over | counts; the last one of `FAILURES` opens the circuit |
| open, not due | is refused | closes it (of one sent earlier) | nothing (of one sent earlier) |
| open, due | is sent, as the probe; the others are refused | closes it | opens it for twice as long |

A failure is no answer, or one that says that the store is in trouble: 5xx, 429. An answer is any other, 412, 404 and
409 included. A probe whose fate nobody reports is given `PROBE` ms; then the next request is the probe.
"""

from __future__ import annotations

from fhirstore.clock import Clock, Ids

FAILURES = 20
"""Failures in a row that open the circuit."""

SHORTEST, LONGEST = 1.0, 30.0
"""Seconds that it stays open: doubled with every probe that fails."""

PROBE = 30_000
SLOW = 5_000
"""Milliseconds after which a request that its caller gave up on counts as a failure."""


class Circuit:
    """The circuit of one store. `clock` and `ids` (jitter) are passed in, so that tests need not wait."""

    def __init__(self, clock: Clock, ids: Ids) -> None:
        self._clock = clock
        self._ids = ids
        self._failures = 0
        self._due: int | None = None  # epoch ms of the next probe; None: closed
        self._probing = False
        self._seconds = SHORTEST

    @property
    def due_in(self) -> float:
        """Returns the seconds until the next probe; 0: it is due, or requests are sent."""
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
        """A request was answered by a store that works."""
        if self._failures or self._due is not None:
            self._failures, self._due, self._probing, self._seconds = 0, None, False, SHORTEST

    def failed(self) -> None:
        """A request was not answered, or by a store in trouble."""
        self._failures += 1
        if self._due is not None:
            if self._probing:
                self._open(min(self._seconds * 2, LONGEST))
        elif self._failures >= FAILURES:
            self._open(SHORTEST)

    def given_up(self, sent: int) -> None:
        """The caller went away from a request that it sent at `sent`, epoch ms: a failure if it waited for long."""
        if self._clock.now() - sent >= SLOW:
            self.failed()
        elif self._probing:
            self._due = self._clock.now()  # nothing was learned: the next request is the probe

    def _open(self, seconds: float) -> None:
        self._seconds = seconds
        self._probing = False
        self._due = self._clock.now() + int(1000 * seconds * self._ids.jitter(0.75, 1.0))
