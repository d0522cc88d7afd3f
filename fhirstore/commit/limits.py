"""The time limits and other limits of the protocol, and the context that a protocol runs in."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from fhirstore.clock import Ids
from fhirstore.format.record import Record
from fhirstore.objects.facts import Facts


class Limits(msgspec.Struct, frozen=True):
    """All times are in ms.

    `window`: the write window; the store refuses a PUT of an attempt later than this after its `t`.
    `transaction_window`: the same for a transaction, which sends many more requests. `apply`: the longest time that
    the store takes to apply a PUT it has accepted. `attempts`: how often a write starts over after contention.
    `patience`: how long others wait for an undecided transaction, and `patience_per_part` more for each resource that
    it changes. `keep_transactions`: the age at which the sweeper removes a transaction's record. It must be more than
    `settled + window + apply`: a process that saw no record has by then finished what it concluded from that.
    `run`: the time that the writer of a run has from its claim to its seal; what is older and not sealed is swept.
    `at_once`: the requests that a transaction has in flight. `held`: approximate limit for the bytes of the old
    versions that a transaction reads, because it writes them again with its intents. `inline_bytes`: a Binary with
    more content than this is stored with its content outside the record. `unused`: how long an uploaded content stays
    that no version refers to.
    """

    window: int = 5_000
    apply: int = 2_000
    attempts: int = 16
    transaction_window: int = 30_000
    patience: int = 1_000
    patience_per_part: int = 2
    keep_transactions: int = 86_400_000
    run: int = 86_400_000
    at_once: int = 256
    held: int = 256 * 1024 * 1024
    inline_bytes: int = 1_024_000
    unused: int = 86_400_000

    @property
    def settled(self) -> int:
        """No write with time `t` appears on the store after `t + settled` (ms) on the store's clock."""
        return max(self.window, self.transaction_window) + self.apply

    def settled_for(self, record: Record) -> int:
        """Returns the same for the write that made `record`: a transaction or a single write."""
        return (self.transaction_window if record.parts else self.window) + self.apply

    def may_follow(self, record: Record, date: int) -> bool:
        """Could an object with this record have been written after `date` (epoch ms on the store's clock)?"""
        return record.t + self.settled_for(record) >= date


class Context(msgspec.Struct, frozen=True):
    """`now`: the best estimate of the store's clock, epoch ms. `ids`: op tokens, nonces and jitter.

    `facts`: makes the facts of a payload object, given its content type; without it they are the content type alone.
    `tagged`: the facts of the version objects of a resource type; None: they have none.
    """

    now: Callable[[], int]
    ids: Ids
    limits: Limits
    facts: Callable[[str | None], Facts | None] | None = None
    tagged: Callable[[str], Facts | None] | None = None

    def slot_facts(self, type: str) -> Facts | None:
        """Returns the facts of a version object of this type."""
        return None if self.tagged is None else self.tagged(type)
