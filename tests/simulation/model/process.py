"""Machines: they misjudge the time, stop for longer than a window, and crash between any two requests.

A process's tasks (see `task`) share its clock, what it remembers, and its fate. A crash at a request boundary
sends some of the requests of that batch and then nothing more; later a new process may do what was left to do. A stop
(SIGSTOP, a suspended machine) comes before the requests leave, or after, while the answers pile up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fhirstore.commit.limits import Limits
from tests.simulation.model.network import Network
from tests.simulation.model.world import World


@dataclass(frozen=True, slots=True)
class Temper:
    """A process's fate. Its boundaries are counted from 1: each batch it sends, and each answer it gives a client.

    `skew`: ms its clock is ahead of the store's. `learns`: how likely it corrects that on an Expired answer.
    `crash_at`: the boundary at which it dies; `back_after`: ms until another takes over, None for never.
    `stops`: boundary -> ms it is stopped there. `sends_first`: that batch still leaves. `slept`: so did its clock.
    `deaf_at`: the boundary whose answers it never hears.
    """

    skew: float = 0.0
    learns: float = 1.0
    crash_at: int = 0
    back_after: float | None = None
    stops: Mapping[int, float] = field(default_factory=dict)
    sends_first: bool = True
    slept: bool = False
    deaf_at: int = 0


class Process:
    """One machine. `memory` is for what operations remember from call to call; `on_crash` is told of its death."""

    def __init__(self, name: str, world: World, network: Network, limits: Limits, temper: Temper) -> None:
        self.name = name
        self.world = world
        self.network = network
        self.limits = limits
        self.temper = temper
        self.memory: dict[str, object] = {}
        self.alive = True
        self.stopped_until = 0.0
        self.on_crash: Callable[[], None] | None = None
        self._skew = temper.skew
        self._boundary = 0

    @property
    def deaf(self) -> bool:
        """It will not hear the answers to what it sends at this boundary."""
        return self._boundary == self.temper.deaf_at

    @property
    def stopped(self) -> bool:
        """It does nothing now, and does not know it."""
        return self.stopped_until > self.world.time

    def now(self) -> int:
        """The store's clock as best known here."""
        return int(self.world.time + self._skew)

    def boundary(self) -> None:
        """A batch is about to leave, or an answer to be given: time to crash or to stop."""
        self._boundary += 1
        if self._boundary == self.temper.crash_at:
            self.alive = False
            self.world.faults["crash"] += 1
            self.world.note(self.name, "CRASHES")
            if self.on_crash is not None:
                self.on_crash()
        elif self._boundary in self.temper.stops:
            duration = self.temper.stops[self._boundary]
            self.stopped_until = self.world.time + duration
            self.world.faults["stop"] += 1
            self.world.note(self.name, f"STOPS for {duration:.0f} ms")
            if self.temper.slept:
                self._skew -= duration

    def learn(self) -> None:
        """An Expired answer says that the clock here may be wrong; its Date header says by how much."""
        if self.world.random.random() < self.temper.learns:
            self._skew = self.world.random.uniform(-20.0, 20.0)
