"""Settings: Metrics, logs and traces."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Observing:
    """Metrics, logs and traces."""
