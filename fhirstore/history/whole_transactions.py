"""Of a transaction, a page shows all its versions that belong there, or none.

A page is read over some time: first the LIST, then `current` of one resource after another. A transaction may be
committed in between, so that one of its versions is seen and another is not, or was not even listed. Its record tells
which versions belong together. Where one of them is missing, the transaction was not committed when the page was asked
for, and the page does without it: whoever asks again gets it whole.

This holds for one page. A transaction that is committed while a client goes from page to page may be met on the later
ones alone; polling with `since` gets it whole in any case.

Cost: 1 GET per transaction whose events the sweeper has not checked yet; 1 more where a version seems to be missing.
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
    """A stretch of the history of `type` (None: of all): from `first` on, and before `below` (None: no end).

    Both are events' names, as far as the version goes, or places between events.
    """

    type: str | None
    first: str
    below: str | None

    def holds(self, t: int, part: tuple[str, str, int]) -> bool:
        """Does the event of this version belong here?"""
        type_, id_, version = part
        if type_ == RECEIPT or self.type not in (None, type_):
            return False
        name = f"{t:013d}_{id_}_{version}_" if self.type is not None else f"{t:013d}_{type_}_{id_}_{version}_"
        return name >= self.first and (self.below is None or name < self.below)


def at(name: str) -> str:
    """The place of an event, itself included in what follows; of a time: before all events of that ms."""
    return name[: name.rfind("_") + 1] or name


def after(name: str) -> str:
    """The place right after an event, or, of a time, the same as `at`."""
    return at(name) + "~" if "_" in name else name


@dataclass(frozen=True, slots=True)
class Looks:
    """The events of these transactions on a page: all that were `looked` at, those of them that were `unseen` when
    their resource was, and those that were listed for the pages to come, `later`.

    `stretch`: where any other must have been listed, had it been there.
    """

    looked: Collection[Event]
    unseen: Collection[Event]
    later: Collection[Event]
    stretch: Stretch


def torn(keys: Keyspace, transactions: Mapping[str, int], looks: Looks, *, kept: int) -> Protocol[set[str] | None]:
    """Those of these transactions, with their t, of which a version that belongs on the page was not counted.

    `kept`: when the events were listed, the records of those with a later t were there. None: one is there no more, so
    that all that was read is old; read it again. Raises Unavailable.
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
                continue  # a day old: whole, and final
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
