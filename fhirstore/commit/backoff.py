"""The three ways in which protocols wait before they try again. Each wait doubles, up to a bound.

* `UNANSWERED`: the store did not answer, or turned the request away. The same request is sent again.
* `CONTENDED`: others were quicker, or still are. The attempt starts over on what they made. Full jitter, so that
  contenders do not meet again.
* `UNSETTLED`: a commit was sent and nobody knows what became of it. The protocol looks until that is certain.

`tries` bounds what work without a client waiting for it may do. For a client's request the budget in
`fhirstore.objects.retries` ends it sooner: `drive` asks it at each Pause, and spreads pauses that follow a failure.
"""

from __future__ import annotations

import msgspec

from fhirstore.clock import Ids
from fhirstore.commit.messages import Pause


class Backoff(msgspec.Struct, frozen=True):
    """A policy. `first`, `longest`: seconds of the first wait and of the longest one."""

    tries: int
    first: float
    longest: float

    def seconds(self, n: int) -> float:
        """Returns how long the wait after try `n` is, counted from 0."""
        return min(self.first * 2.0 ** min(n, 30), self.longest)

    def pause(self, n: int) -> Pause:
        """Returns the wait after try `n`."""
        return Pause(self.seconds(n))

    def jittered(self, n: int, ids: Ids) -> Pause:
        """Returns a wait of any length up to that."""
        return Pause(ids.jitter(0.0, self.seconds(n)))


UNANSWERED = Backoff(tries=6, first=0.05, longest=2.0)
CONTENDED = Backoff(tries=6, first=0.02, longest=1.0)
UNSETTLED = Backoff(tries=60, first=0.05, longest=1.0)

SENDS = 6
"""How often a commit is sent, at most, while it is unsettled."""


def settling(n: int) -> Pause:
    """Returns the wait after look `n` at what became of a commit."""
    return Pause(UNSETTLED.seconds(n), settling=True)
