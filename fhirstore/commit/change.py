"""One part of a transaction, from its base to its next version, and how far it has come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from fhirstore.commit.attempt import Base, keys_beside
from fhirstore.commit.messages import Put
from fhirstore.format.keyspace import ResourceKeys
from fhirstore.format.record import Intent, Record
from fhirstore.objects.base import IF_ABSENT


@dataclass(frozen=True, slots=True)
class Plan:
    """What all parts of one attempt at a transaction share. `expires`: of each of its PUTs, up to the commit point."""

    tx: str
    t: int
    age: str
    parts: int
    expires: int


@dataclass(slots=True)
class Change:
    """`record` is to follow `base`. `placed`: the ETag of `current.json` with our intent in it, once it stands there.

    `reserved`: the version object is ours. `missing`: objects beside it that are not there yet. Bodies are made when
    they are needed: a transaction holds the contents once, however many requests carry them.
    """

    keys: ResourceKeys
    base: Base
    record: Record
    plan: Plan
    missing: tuple[str, ...]
    begun: bool = False
    placed: str | None = None
    reserved: bool = False

    @classmethod
    def of(cls, keys: ResourceKeys, base: Base, record: Record, plan: Plan) -> Change:
        """Nothing of it has been sent yet."""
        return cls(keys, base, record, plan, keys_beside(keys, base, record))

    @property
    def slot(self) -> str:
        """The key of its version object."""
        return self.keys.version(self.record.version)

    @property
    def announced(self) -> bool:
        """Is all there that must be there before the commit point?"""
        return self.placed is not None and self.reserved and not self.missing

    @property
    def size(self) -> int:
        """Requests of round trip 2."""
        return 2 + len(self.missing)

    def puts(self) -> tuple[Put, ...]:
        """Round trip 2: what stands beside the slot, the slot, and the intent; should we die while they leave, the
        events go first, as they lead the sweeper to the rest."""
        slot = Put(self.slot, self.record.encode(), IF_ABSENT, self.plan.expires)
        return (*self.missing_puts(), slot, self.intent_put())

    def intent_put(self) -> Put:
        """The old version, with the intent to make the next one."""
        plan = self.plan
        old = self.base.record or Record.stub(plan.tx)
        intent = Intent(plan.tx, self.record.version, plan.t, plan.age, plan.parts)
        body = replace(old, intent=intent).encode()
        return Put(self.keys.current, body, self.base.unchanged, plan.expires)

    def missing_puts(self) -> tuple[Put, ...]:
        """What is not there yet beside the slot."""
        return tuple(Put(key, b"", expires=self.plan.expires) for key in self.missing)

    def build_on(self, base: Base) -> None:
        """The same version stands in `current.json` under another ETag: announce the next one anew."""
        self.base = base
        self.record = replace(self.record, base=base.etag)
        self.placed, self.reserved = None, False


def in_groups(changes: Sequence[Change], at_once: int) -> Iterator[list[Change]]:
    """A few at a time, so that no more than about `at_once` requests are in flight."""
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
