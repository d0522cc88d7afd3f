"""One line in the log for what was answered with 5xx, and no flood of them.

The first failure of a kind is logged at once, in full; those that follow within a minute are counted, and the count is
logged at its end. A kind is the status and what was raised; for what nobody foresaw, also where. A line has the time,
the request's id, method, route template and tenant. It never has a path, a query, a header or content: those are the
patient's.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from fhirstore.errors import FhirStoreError, ObjectError, StoreFull

INTERVAL = 60.0
"""Seconds in which failures of one kind are counted rather than logged."""

_LOG = logging.getLogger("fhirstore")

Later = Callable[[float, Callable[[], None]], object]
"""Calls back after so many seconds."""


class Asked(NamedTuple):
    """Which request it was. `template`: of its route; `tenant`: "" where it is not known, or nobody's name."""

    method: str
    request_id: str
    template: str
    tenant: str = ""

    def __str__(self) -> str:
        tenant = f" tenant {self.tenant}" if self.tenant else ""
        return f"{self.method} {self.request_id} {self.template}{tenant}"


@dataclass(slots=True)
class _Counted:
    more: int = 0


class FailureLog:
    """The failures of one server process. `later`: how to call back; by default the running event loop's way."""

    def __init__(self, *, later: Later | None = None, now: Callable[[], datetime] | None = None) -> None:
        self._later = later or _by_loop
        self._now = now or _utc
        self._kinds: dict[str, _Counted] = {}

    def note(self, asked: Asked, status: int, error: Exception | None) -> None:
        """A request was answered with this status because of `error`. The error's traceback tells where."""
        name = "no answer in time" if error is None else type(error).__name__
        kind, text = f"{status} {name}", ""
        if isinstance(error, StoreFull):
            text = f": {error.detail}"  # which object it was does not matter
        elif isinstance(error, FhirStoreError):
            text = f": {error}{_reason(error)}"
        elif error is not None:
            # Where it happened, but not its message, which may quote a patient.
            frames = traceback.extract_tb(error.__traceback__)
            kind += f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
            text = ": unexpected\n" + "".join(traceback.format_tb(error.__traceback__)).rstrip()
        counted = self._kinds.get(kind)
        if counted is not None:
            counted.more += 1
            return
        self._kinds[kind] = _Counted()
        self._later(INTERVAL, lambda: self._tell(kind, f"{status} {name}"))
        _LOG.error("%s %s %s%s", self._stamp(), f"{status} {name}", asked, text)

    def _tell(self, kind: str, name: str) -> None:
        """The interval of this kind is over."""
        counted = self._kinds[kind]
        if not counted.more:
            del self._kinds[kind]
            return
        _LOG.error("%s %s: %d more in the last %.0f s", self._stamp(), name, counted.more, INTERVAL)
        counted.more = 0
        self._later(INTERVAL, lambda: self._tell(kind, name))

    def _stamp(self) -> str:
        return self._now().isoformat(timespec="milliseconds")


def _reason(error: BaseException) -> str:
    """What the object store said, where that is why."""
    cause = error.__cause__
    while cause is not None and not isinstance(cause, ObjectError):
        cause = cause.__cause__
    return f" [{cause.detail}]" if isinstance(cause, ObjectError) and cause.detail else ""


def _by_loop(seconds: float, call: Callable[[], None]) -> object:
    return asyncio.get_running_loop().call_later(seconds, call)


def _utc() -> datetime:
    return datetime.now(UTC)
