"""The numbers of the protocol, and the time and chance it works with."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from fhirstore.clock import Ids
from fhirstore.format.record import Record


class Rules(msgspec.Struct, frozen=True):
    """Times in ms.

    `window`: after it the store refuses a commit. `transaction_window`: the same for a transaction, which has many
    more requests to send. `apply`: what it may take to apply a PUT that the store accepted. `attempts`: how often a
    write that met contention starts over. `patience`: how long others wait for a transaction that may be alive, and
    `patience_per_part` more for each resource it changes. `keep_transactions`: age from which a record goes; more than
    `settled + window + apply`, so that whoever saw that there was none yet is through with what it made of that.
    `at_once`: requests that a transaction has in flight. `held`: bytes of content that a transaction builds on, at most
    about: it carries the old versions along with its intents.
    """

    window: int = 5_000
    apply: int = 2_000
    attempts: int = 16
    transaction_window: int = 30_000
    patience: int = 1_000
    patience_per_part: int = 2
    keep_transactions: int = 86_400_000
    at_once: int = 256
    held: int = 256 * 1024 * 1024

    @property
    def settled(self) -> int:
        """Nothing that carries `t` appears on the store later than `t + settled` (ms) on the store's clock."""
        return max(self.window, self.transaction_window) + self.apply

    def settled_for(self, record: Record) -> int:
        """The same for one version, where it is known who made it: a transaction or a write by itself."""
        return (self.transaction_window if record.parts else self.window) + self.apply

    def may_follow(self, record: Record, date: int) -> bool:
        """Could what carries this record have been written after `date`, epoch ms on the store's clock?"""
        return record.t + self.settled_for(record) >= date


class Context(msgspec.Struct, frozen=True):
    """`now`: the store's clock as best known here, epoch ms; `ids`: op tokens, nonces and jitter."""

    now: Callable[[], int]
    ids: Ids
    rules: Rules
