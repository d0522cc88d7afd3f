"""One part of a transaction: its base, its next version, and which of its requests were acknowledged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from fhirstore.commit.attempt import Base, body_beside, keys_beside
from fhirstore.commit.messages import Put
from fhirstore.format.keyspace import ResourceKeys
from fhirstore.format.record import Intent, Record
from fhirstore.objects.base import IF_ABSENT, Condition
from fhirstore.objects.facts import Facts


@dataclass(frozen=True, slots=True)
class Plan:
    """What all parts of one attempt at a transaction share.

    `tx`: the transaction's id. `age`: the older of two transactions wins. `parts`: their number. `expires`: the end of
    the write window of every PUT up to the commit point.
    """

    tx: str
    t: int
    age: str
    parts: int
    expires: int


@dataclass(slots=True)
class Change:
    """`record` is to follow `base`.

    `missing`: keys of the events and index entries that are not acknowledged yet. `begun`: requests were sent.
    `placed`: the ETag of `current.json` with our intent, once that was acknowledged. `reserved`: the slot is ours.
    `facts`: of the slot.

    Bodies are encoded when they are sent, so that a transaction holds each content in memory once.
    """

    keys: ResourceKeys
    base: Base
    record: Record
    plan: Plan
    missing: tuple[str, ...]
    begun: bool = False
    placed: str | None = None
    reserved: bool = False
    facts: Facts | None = None

    @classmethod
    def of(cls, keys: ResourceKeys, base: Base, record: Record, plan: Plan, facts: Facts | None = None) -> Change:
        """Returns a change of which nothing was sent yet."""
        return cls(keys, base, record, plan, keys_beside(keys, base, record), facts=facts)

    @property
    def slot(self) -> str:
        """Returns the key of its version object."""
        return self.keys.version(self.record.version)

    @property
    def announced(self) -> bool:
        """Was everything acknowledged that must exist before the commit point?"""
        return self.placed is not None and self.reserved and not self.missing

    @property
    def size(self) -> int:
        """Returns the number of its requests in round trip 2."""
        return 2 + len(self.missing)

    def puts(self) -> tuple[Put, ...]:
        """Returns the requests of round trip 2: events and index entries, the slot, the intent.

        The events come first, because they lead the sweeper to the rest if the process dies while it sends.
        """
        return (*self.missing_puts(), self.slot_put(self.record.encode(), IF_ABSENT), self.intent_put())

    def slot_put(self, body: bytes, condition: Condition) -> Put:
        """Returns the PUT that reserves the slot. `body`: the encoded record."""
        return Put(self.slot, body, condition, self.plan.expires, facts=self.facts)

    def intent_put(self) -> Put:
        """Returns the PUT of the old version with the intent to make the next one."""
        plan = self.plan
        old = self.base.record or Record.stub(plan.tx)
        intent = Intent(plan.tx, self.record.version, plan.t, plan.age, plan.parts)
        body = replace(old, intent=intent).encode()
        return Put(self.keys.current, body, self.base.unchanged, plan.expires)

    def missing_puts(self) -> tuple[Put, ...]:
        """Returns the PUTs of the events and index entries that are not acknowledged yet."""
        body = body_beside(self.record)
        return tuple(Put(key, body, expires=self.plan.expires) for key in self.missing)

    def build_on(self, base: Base) -> None:
        """Starts this part again on the same version under another ETag."""
        self.base = base
        self.record = replace(self.record, base=base.etag)
        self.placed, self.reserved = None, False


def in_groups(changes: Sequence[Change], at_once: int) -> Iterator[list[Change]]:
    """Yields the changes in groups of about `at_once` requests, which bounds the requests in flight."""
    group: list[Change] = []
    requests = 0
    for change in changes:
        if group and requests + change.size > at_once:
            yield group
            group, requests = [], 0
        group.append(change)
        requests += change.size
    if group:
        yield group
