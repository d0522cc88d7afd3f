"""Logs answers of 5xx, a line for each kind of failure and minute.

The first failure of a kind is logged at once, in full; those that follow within a minute are counted, and the count is
logged at its end. A kind is the status and the type of the exception; for an unexpected one, also the line of code. A
log line has the time, the request's id, method, route template and tenant. It never has a path, a query, a header or
content: these may hold data of a patient.
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
    """The request that failed. `template`: of its route; `tenant`: "" where it is unknown or malformed."""

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
    """The failures of one server process. `later`: calls back after some seconds; by default the event loop's."""

    def __init__(self, *, later: Later | None = None, now: Callable[[], datetime] | None = None) -> None:
        self._later = later or _by_loop
        self._now = now or _utc
        self._kinds: dict[str, _Counted] = {}

    def note(self, asked: Asked, status: int, error: Exception | None) -> None:
        """Logs or counts a request that was answered with this status because of `error` (None: too late)."""
        name = "no answer in time" if error is None else type(error).__name__
        kind, text = f"{status} {name}", ""
        if isinstance(error, StoreFull):
            text = f": {error.detail}"  # the object that could not be written does not matter
        elif isinstance(error, FhirStoreError):
            text = f": {error}{_reason(error)}"
        elif error is not None:
            # The traceback without the message, which may quote data of a patient.
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
        """Logs how often this kind was counted in the interval that ends now."""
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
    """Returns what the object store said, where that is the cause."""
    cause = error.__cause__
    while cause is not None and not isinstance(cause, ObjectError):
        cause = cause.__cause__
    return f" [{cause.detail}]" if isinstance(cause, ObjectError) and cause.detail else ""


def _by_loop(seconds: float, call: Callable[[], None]) -> object:
    return asyncio.get_running_loop().call_later(seconds, call)


def _utc() -> datetime:
    return datetime.now(UTC)
