"""The retry budget: how many storage requests one client request may repeat. All levels share it.

The S3 client retries, the protocols retry, an entry of a Bundle retries. Each is reasonable by itself, but together
they turn one client request into dozens when the store is overloaded. So every level asks the budget of the client
request before it sends something again. Work that no client waits for (sweep, fsck, jobs, detached writes) has no
budget and keeps the patience of each level.

The budget is a context variable because the levels between the server and the object store need not know of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import Context, ContextVar, copy_context

TRIES = 3
"""The most requests for one object that keeps failing."""

REPEATS = 10
"""The most requests that one client request may repeat; large groups of requests add some."""

ONE_IN = 16
"""This many requests sent together allow one more repeat, because among many a few failures are normal."""


class RetryBudget:
    """What one client request may still repeat.

    `probe_in`: seconds until a store that keeps failing is tried again, if that is why nothing is repeated; else 0.
    """

    # Class attributes, no slots and no __init__: every request makes a budget, and hardly any uses it.
    _left = REPEATS
    _tries: dict[str, int] | None = None
    probe_in = 0.0

    def take(self, names: Sequence[str]) -> bool:
        """Returns whether the failed requests with these names may be sent again; if so, they are charged.

        A name is verb and key, so that all levels mean the same request by it.
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
        """Allow as many more repeats as are normal among so many requests."""
        self._left += requests // ONE_IN

    def refuse(self, probe_in: float) -> None:
        """Repeat nothing more for this client request, because the store keeps failing."""
        self.probe_in = max(self.probe_in, probe_in, 0.001)


# A ContextVar must be module-level. It is only a name; its values are per task.
_budget: ContextVar[RetryBudget | None] = ContextVar("fhirstore_retry_budget", default=None)

retry_budget = _budget.get
"""Returns the budget of the client request that the running task serves; None where no client waits."""

set_retry_budget = _budget.set
"""Give the running task, and those that it starts, this budget. Returns a token for `reset_retry_budget`."""

reset_retry_budget = _budget.reset


def without_budget() -> Context:
    """Returns a copy of the running task's context for work that no client waits for."""
    context = copy_context()
    context.run(_budget.set, None)
    return context
