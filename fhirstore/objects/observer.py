"""What an object store tells an observer of its requests. The server counts them; the library itself keeps no metrics.

A verb is the object verb, not HTTP's, and requests are counted as `wrappers.metered` counts them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from fhirstore.errors import (
    ConditionalConflict,
    ObjectDamaged,
    ObjectNotFound,
    OutcomeUnknown,
    PreconditionFailed,
    StoreBusy,
    StoreFull,
    StoreUnavailable,
    WriteWindowClosed,
)

OK = "ok"
CANCELLED = "cancelled"
OTHER = "error"

_OUTCOMES: Mapping[type[BaseException], str] = {
    ObjectNotFound: "not-found",
    PreconditionFailed: "precondition-failed",
    ConditionalConflict: "conflict",
    WriteWindowClosed: "expired",
    StoreBusy: "busy",
    StoreUnavailable: "unavailable",
    OutcomeUnknown: "unknown",
    StoreFull: "full",
    ObjectDamaged: "damaged",
    asyncio.CancelledError: CANCELLED,
}

OUTCOMES = (OK, *_OUTCOMES.values(), OTHER)
"""Every outcome of a request. `expired`: its write window was over; `unknown`: a write without an answer."""


def outcome_of(error: BaseException) -> str:
    """Returns the outcome of a request that raised this error."""
    return _OUTCOMES.get(type(error), OTHER)


class StoreObserver(Protocol):
    """Is told of each request after its answer, in the task that sent it. It must be quick and must not raise."""

    def requested(  # noqa: PLR0917 - called for every storage request, and positions are quicker than names
        self, verb: str, outcome: str, seconds: float, size: int = -1, moved: int = 0, count: int = 1
    ) -> None:
        """Take note of `count` requests of one verb and outcome, that took `seconds` together.

        `size`: bytes of the one object that was read or written whole, -1 where there was none. `moved`: bytes of
        bodies and parts besides, which are no whole object's.
        """
        ...

    def wrote(self, outcome: str, seconds: float, sizes: Sequence[int]) -> None:
        """Take note of PUTs of whole objects of these sizes that were sent together and answered alike."""
        ...

    def uploaded(self, outcome: str, seconds: float, size: int, requests: Mapping[str, int]) -> None:
        """Take note of a body that was sent as a stream, in so many requests by verb."""
        ...

    def completed(self, seconds: float, size: int) -> None:
        """Take note of a multipart upload of `size` bytes that was begun `seconds` ago and is completed.

        Its requests were told before."""
        ...

    def downloaded(self, outcome: str, seconds: float, size: int) -> None:
        """Take note of a GET whose body, or a range of it, was read as a stream; `size`: the bytes that were read."""
        ...
