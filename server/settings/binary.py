"""Settings: Binary resources, whose content may lie outside of them, and uploads."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Binaries:
    """Binary resources, whose content may lie outside of them, and uploads."""
