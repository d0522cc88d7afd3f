"""How long protocols wait before they try again, and how often they try. Each wait doubles, up to a bound.

* `UNANSWERED`: the store did not answer, or turned the request away. The same request is sent again.
* `CONTENDED`: another writer was faster. The attempt starts over on what it wrote. The waits have full jitter, so
  that the contenders do not meet again.
* `UNSETTLED`: a commit was sent and its answer does not say whether it was applied. The protocol reads until it knows.
* `RIVAL`: another writer, which may be dead, holds what this one needs. The protocol gives it time to commit, about a
  second in all, and then shuts it out (`fence`).

`tries` bounds the work that no client waits for. For a client's request the budget in `fhirstore.objects.retries` ends
it earlier: `drive` asks the budget at each Pause, and adds jitter to the pauses that follow a failed request.
"""

from __future__ import annotations

import msgspec

from fhirstore.clock import Ids
from fhirstore.commit.messages import Pause


class Backoff(msgspec.Struct, frozen=True):
    """A policy. `first`, `longest`: seconds of the first and of the longest wait."""

    tries: int
    first: float
    longest: float

    def seconds(self, n: int) -> float:
        """Returns the longest wait after try `n`, counted from 0."""
        return min(self.first * 2.0 ** min(n, 30), self.longest)

    def pause(self, n: int) -> Pause:
        """Returns the wait after try `n`, without jitter."""
        return Pause(self.seconds(n))

    def jittered(self, n: int, ids: Ids) -> Pause:
        """Returns the wait after try `n` with full jitter: from 0 to `seconds(n)`."""
        return Pause(ids.jitter(0.0, self.seconds(n)))

    def half_jittered(self, n: int, ids: Ids) -> Pause:
        """Returns the wait after try `n` with half jitter: from half of `seconds(n)` to all of it."""
        return Pause(ids.jitter(self.seconds(n) / 2, self.seconds(n)))


UNANSWERED = Backoff(tries=6, first=0.05, longest=2.0)
CONTENDED = Backoff(tries=6, first=0.02, longest=1.0)
UNSETTLED = Backoff(tries=60, first=0.05, longest=1.0)
RIVAL = Backoff(tries=5, first=0.03, longest=0.48)

SENDS = 6
"""How often a commit is sent, at most, while it is unsettled."""

SHUT_OUTS = 12
"""How often a protocol tries to fence a rival, or to abort its transaction, before it raises an error."""

_CLOCK_RESOLUTION = 0.1  # seconds; the store's clock may show whole seconds only, so that a shorter wait is in vain


def settling(n: int) -> Pause:
    """Returns the wait after the protocol read for the `n`th time what became of its commit."""
    return Pause(UNSETTLED.seconds(n), settling=True)


def undecided(waited: float, ids: Ids) -> Pause:
    """Returns the next wait for a transaction that is not decided, after `waited` seconds of earlier waits."""
    return Pause(ids.jitter(0.5, 1.0) * min(0.03 + waited, 0.5))


def until_past(time: int, date: int) -> Pause:
    """Returns a wait after which the store's clock, which showed `date`, may have passed `time` (both epoch ms).

    It is at most 1 s long. The caller must read the store's date again.
    """
    return Pause(min(max((time - date + 1) / 1000, _CLOCK_RESOLUTION), 1.0))
