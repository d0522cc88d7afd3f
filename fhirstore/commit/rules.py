"""The numbers of the protocol, and the time and chance it works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fhirstore.clock import Ids


@dataclass(frozen=True, slots=True)
class Rules:
    """`window`: ms after which the store refuses a commit; `apply`: ms it may take to apply one it accepted;
    `attempts`: how often a write that met contention starts over."""

    window: int = 5_000
    apply: int = 2_000
    attempts: int = 16

    @property
    def settled(self) -> int:
        """Nothing that carries `t` appears on the store later than `t + settled` (ms) on the store's clock."""
        return self.window + self.apply


@dataclass(frozen=True, slots=True)
class Context:
    """`now`: the store's clock as best known here, epoch ms; `ids`: op tokens, nonces and jitter."""

    now: Callable[[], int]
    ids: Ids
    rules: Rules
