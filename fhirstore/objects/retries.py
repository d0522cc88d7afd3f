"""How often what failed is sent again for one request of a client: one budget that all levels share.

The object store's client repeats, protocols repeat, an entry of a Bundle repeats: each is reasonable by itself, and
together they turn one request of a client into dozens when the store is overloaded. So whoever is about to send
something again asks the budget of the client's request. Work that no client waits for (sweep, fsck, jobs, what was
detached from its caller) has no budget and keeps the patience of each level.

The budget is a context variable because the levels between the server and the object store need not know of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import Context, ContextVar, copy_context

TRIES = 3
"""How often one object is asked for, at most, when it keeps failing."""

REPEATS = 10
"""How many requests one request of a client may send again, at most; large batches of requests add some."""

ONE_IN = 16
"""So many requests sent together allow one more repeat: with many, a few failures are normal."""


class RetryBudget:
    """What one request of a client may still repeat.

    `probe_in`: seconds until a store that is known to be failing is tried again, where that is why nothing is repeated.
    """

    # Defaults of the class, and neither slots nor __init__: each request makes one, and hardly any uses it.
    _left = REPEATS
    _tries: dict[str, int] | None = None
    probe_in = 0.0

    def take(self, names: Sequence[str]) -> bool:
        """Returns whether the requests with these names, which failed, may be sent again; if so, they are charged.

        A name says verb and key, so that all levels mean the same request by it.
        """
        if self.probe_in or len(names) > self._left:
            return False
        tries = self._tries
        if tries is None:
            tries = self._tries = {}
        if any(tries.get(name, 1) >= TRIES for name in names):
            return False
        for name in names:
            tries[name] = tries.get(name, 1) + 1
        self._left -= len(names)
        return True

    def grant(self, requests: int) -> None:
        """Allows as many more repeats as are normal among so many requests."""
        self._left += requests // ONE_IN

    def refuse(self, probe_in: float) -> None:
        """The store is known to be failing: nothing is sent again for this request."""
        self.probe_in = max(self.probe_in, probe_in, 0.001)


# A ContextVar has to be module-level; it is a name, its values are per task.
_budget: ContextVar[RetryBudget | None] = ContextVar("fhirstore_retry_budget", default=None)

retry_budget = _budget.get
"""Returns the budget of the client's request that the running task serves; None: no client waits for it."""

set_retry_budget = _budget.set
"""Gives the running task, and those that it starts, this budget. Returns a token for `reset_retry_budget`."""

reset_retry_budget = _budget.reset


def without_budget() -> Context:
    """Returns a copy of the running task's context for work that no client waits for."""
    context = copy_context()
    context.run(_budget.set, None)
    return context
