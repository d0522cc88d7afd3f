"""How many jobs a tenant may have."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class JobLimits:
    """Of one tenant. `running`: jobs at once, in all processes together. `queued`: as many more may wait."""

    running: int = 4
    queued: int = 20

    @property
    def most(self) -> int:
        """The most live jobs of a tenant."""
        return self.running + self.queued
