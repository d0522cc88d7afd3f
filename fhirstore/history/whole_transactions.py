"""A page of a history shows all versions of a transaction that belong on it, or none of them.

Reading a page takes time: first the LIST, then `current.json` of one resource after another. A transaction may be
committed in between, so that one of its versions is seen and another one is not, or was not even listed. The
transaction's record says which versions belong together. If one of them is missing, the transaction was not committed
when the page was requested, and the page leaves it out. A client that asks again gets all of it.

This holds for one page. If a transaction is committed while a client follows `next`, its versions may be on the later
pages only; polling with `since` returns all of them in any case.

Cost: 1 GET per transaction whose events the sweeper has not checked; 1 more if a version seems to be missing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from fhirstore.batched import batched
from fhirstore.commit.messages import Absent, Get, Protocol
from fhirstore.commit.reading import ask
from fhirstore.format.decision import decode_decision
from fhirstore.format.keyspace import RECEIPT, Event, Keyspace
from fhirstore.history.records import IN_FLIGHT, currents_at


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of the history of `type` (None: of the tenant): from `first` on, and before `below` (None: no end).

    Both are positions: the names of events up to the version, or times.
    """

    type: str | None
    first: str
    below: str | None

    def holds(self, t: int, part: tuple[str, str, int]) -> bool:
        """Does the event of this version, made at `t`, lie in this stretch?"""
        type_, id_, version = part
        if type_ == RECEIPT or self.type not in (None, type_):
            return False
        name = f"{t:013d}_{id_}_{version}_" if self.type is not None else f"{t:013d}_{type_}_{id_}_{version}_"
        return name >= self.first and (self.below is None or name < self.below)


def at(name: str) -> str:
    """Returns the position right before an event, or before all events of a time."""
    return name[: name.rfind("_") + 1] or name


def after(name: str) -> str:
    """Returns the position right after an event; of a time, the same as `at`."""
    return at(name) + "~" if "_" in name else name


@dataclass(frozen=True, slots=True)
class Looks:
    """The events of some transactions, as a page has met them.

    `looked`: those that the page has read. `unseen`: those of them whose version `current.json` had not reached when it
    was read. `later`: those that were listed but belong on later pages. `stretch`: what was listed; an event in it that
    was not listed did not exist yet.
    """

    looked: Collection[Event]
    unseen: Collection[Event]
    later: Collection[Event]
    stretch: Stretch


def torn(keys: Keyspace, transactions: Mapping[str, int], looks: Looks, *, kept: int) -> Protocol[set[str] | None]:
    """Returns those of these transactions (by id, with their t) of which a version is missing on the page.

    `kept`: when the events were listed, the records of transactions with a later t existed. Returns None if such a
    record is gone: the page was read so slowly that the caller must list again. Raises Unavailable.
    """
    missing: dict[str, list[tuple[str, str, int]]] = {}
    looked, unseen, later = map(_parts, (looks.looked, looks.unseen, looks.later))
    names = list(transactions)
    for some in batched(names, IN_FLIGHT):
        replies = yield from ask(*(Get(keys.transaction(tx)) for tx in some))
        for tx, reply in zip(some, replies, strict=True):
            if isinstance(reply, Absent):
                if transactions[tx] > kept:
                    return None
                continue  # older than `Limits.keep_transactions`: all its versions are final
            decision = decode_decision(reply.body, keys.transaction(tx))
            parts = [
                part
                for part in decision.parts
                if (tx, *part) in unseen
                or ((tx, *part) not in looked | later and looks.stretch.holds(decision.t, part))
            ]
            if parts:
                missing[tx] = parts
    resources = {keys.resource(type_, id_) for parts in missing.values() for type_, id_, _ in parts}
    currents = yield from currents_at(sorted(resources, key=lambda resource: resource.current))
    floors = {key: seen.record.floor for key, seen in currents.items()}
    return {
        tx
        for tx, parts in missing.items()
        if any(version > floors.get(keys.resource(type_, id_).current, 0) for type_, id_, version in parts)
    }


def _parts(events: Collection[Event]) -> set[tuple[str, str, str, int]]:
    return {(event.op, event.type, event.id, event.version) for event in events}
