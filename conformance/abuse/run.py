"""One abuse after the other, each measured: the longest wait of a tick meanwhile, the time, the status, the memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from conformance.abuse.memory import watched
from conformance.abuse.target import Target
from conformance.abuse.ticking import Ticker, ticker
from conformance.abuse.work import Abuse, prepared

_IDLE = 1.0  # seconds
_BREATH = 0.2
_SETTLED = 0.02  # seconds that a tick takes when nothing is going on
_UNSETTLED = 60.0  # seconds that what goes on behind an answer is waited for


@dataclass(frozen=True, slots=True)
class Measured:
    """`stall`: longest wait of a tick; `seconds`: until all was answered; bytes held `before` and at most, 0: unknown.

    `failed_ticks`: those that were refused, or not answered in a minute.
    """

    name: str
    answer: str
    stall: float
    seconds: float
    before: int
    peak: int
    failed_ticks: int


def run(
    target: Target, abuses: Sequence[Abuse], *, pid: int | None, rounds: int, say: Callable[[str], None]
) -> Iterator[Measured]:
    """Each abuse's measurements; of several rounds, the one with the least stall: the rest is the machine's noise."""
    say("storing what is asked for")
    prepared(target)
    with ticker(target.host, target.port) as ticking:
        yield _measured(ticking, "(nothing)", _nothing, pid)
        for abuse in abuses:
            found: list[Measured] = []
            for _ in range(rounds):
                say(abuse.name)
                act = abuse.prepare(target)
                _settle(ticking)
                found.append(_measured(ticking, abuse.name, act, pid))
            yield min(found, key=lambda one: one.stall)


def _nothing() -> str:
    time.sleep(_IDLE)
    return ""


def _settle(ticking: Ticker) -> None:
    """Wait until the abuse before is over for the server, too, so that each is measured alone."""
    end = time.monotonic() + _UNSETTLED
    while time.monotonic() < end:
        ticking.begin()
        time.sleep(_BREATH)
        if ticking.end().longest < _SETTLED:
            return


def _measured(ticking: Ticker, name: str, act: Callable[[], str], pid: int | None) -> Measured:
    with watched(pid) as memory:
        ticking.begin()
        began = time.monotonic()
        answer = act()
        seconds = time.monotonic() - began
        time.sleep(_BREATH)  # what goes on behind the answer counts, too
        window = ticking.end()
    return Measured(name, answer, window.longest, seconds, memory.before, memory.peak, window.failures)
