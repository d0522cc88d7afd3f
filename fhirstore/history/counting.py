"""Which events are versions, and what these hold.

An event is written before its version is committed, and an attempt that died left its events behind. An event counts
only if the resource's current version has reached its version, and that version carries the event's op token. So GET
current comes first, once per resource; it is the version itself as often as not. Otherwise the version object is
read after it, and so is final. Below the sweeper's watermark the version object alone says enough.

The events of a transaction carry the same op token. Where one of them counts, the transaction is committed, and all
others on the page count too, even if the transaction was committed only while the page was being read.

At most two GET per event; at most 64 are under way, fewer where the versions met so far are large.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from fhirstore.commit.messages import Protocol
from fhirstore.errors import InvalidResource
from fhirstore.history.records import Budget, currents_at, records_at
from fhirstore.keyspace import RECEIPT, Event, Keyspace, ResourceKeys, parse_event
from fhirstore.record import Record
from fhirstore.resources import Version, version_of
from fhirstore.times import Period

_Found = tuple[Event, ResourceKeys]


@dataclass(slots=True)
class Counting:
    """Reads the versions that the events of one page stand for."""

    keys: Keyspace
    prefix: str  # of the history whose event names these are
    watermark: int
    at: Period | None
    budget: Budget
    _currents: dict[str, Record | None] = field(default_factory=dict)  # by key of current.json

    def versions(self, names: Sequence[str]) -> Protocol[tuple[list[Version], int]]:
        """The versions among the events, in order; and how many events were looked at before the page was full."""
        found: list[tuple[Event, Record]] = []
        missed: list[_Found] = []
        looked = 0
        while looked < len(names) and self.budget.room > 0:
            chunk = names[looked : looked + self.budget.at_once]
            looked += len(chunk)
            events = [known for name in chunk if (known := self._event(name)) is not None]
            counted = yield from self._records(events)
            found += counted
            counting = {event for event, _ in counted}
            missed += [known for known in events if known[0] not in counting]
            for _, record in counted:
                self.budget.spend(record)
        if late := (yield from self._late(missed, {record.op for _, record in found if record.parts})):
            place = {self.prefix + name: n for n, name in enumerate(names[:looked])}
            found = sorted([*found, *late], key=lambda one: place[self._key(one[0])])
        return [version_of(event.type, event.id, record) for event, record in found], looked

    def _late(self, missed: Sequence[_Found], committed: set[str]) -> Protocol[list[tuple[Event, Record]]]:
        """Those that count all the same, as others of their transactions do."""
        again = [(event, keys) for event, keys in missed if event.op in committed and self._came_late(event, keys)]
        records = yield from records_at(sorted({keys.version(event.version) for event, keys in again}))
        return [
            (event, record)
            for event, keys in again
            if (record := records.get(keys.version(event.version))) is not None and record.op == event.op
        ]

    def _key(self, event: Event) -> str:
        keys = self.keys.resource(event.type, event.id)
        names = (event.t, event.version, event.method, event.op)
        system = keys.system_event(*names)
        return system if system.startswith(self.prefix) else keys.type_event(*names)

    def _event(self, name: str) -> _Found | None:
        try:
            event = parse_event(self.prefix + name)
            keys = self.keys.resource(event.type, event.id)
        except (ValueError, InvalidResource):
            return None  # nothing that fhirstore wrote
        return None if event.type == RECEIPT else (event, keys)

    def _records(self, events: list[_Found]) -> Protocol[list[tuple[Event, Record]]]:
        """Those of the events that count, with their records."""
        unseen = {keys.current: keys for event, keys in events if self._in_doubt(event)}
        for key in self._currents:
            unseen.pop(key, None)
        records = yield from currents_at([unseen[key] for key in sorted(unseen)])
        self._currents |= {key: _without_content(records.get(key)) for key in unseen}
        counting = [(event, keys) for event, keys in events if self._may_count(event, keys)]
        for event, keys in counting:
            current = records.get(keys.current)
            if current is not None and current.version == event.version:
                records[keys.version(event.version)] = current
        slots = {key for event, keys in counting for key in self._slots(event, keys)} - records.keys()
        records |= yield from records_at(sorted(slots))
        return [
            (event, record)
            for event, keys in counting
            if (record := records.get(keys.version(event.version))) is not None
            and record.op == event.op
            and self._was_current(event, keys, records)
        ]

    def _in_doubt(self, event: Event) -> bool:
        """Must `current` be asked about it?"""
        return event.t >= self.watermark or self.at is not None

    def _came_late(self, event: Event, keys: ResourceKeys) -> bool:
        """Not counted because it was not there yet; not because it was purged."""
        current = self._currents.get(keys.current)
        return self._within(event) and (current is None or current.floor < event.version)

    def _within(self, event: Event) -> bool:
        """Not after the period asked for?"""
        return self.at is None or event.t < self.at.end

    def _may_count(self, event: Event, keys: ResourceKeys) -> bool:
        if not self._within(event):
            return False
        if not self._in_doubt(event):
            return True
        current = self._currents[keys.current]
        if current is None or not current.floor < event.version <= current.version:
            return False
        return not (self._is_before(event) and event.version < current.version and current.t <= self._at_start)

    def _slots(self, event: Event, keys: ResourceKeys) -> Iterator[str]:
        """The version objects that tell about it: its own, and where time matters the next version's."""
        yield keys.version(event.version)
        current = self._currents.get(keys.current)
        if self._is_before(event) and current is not None and event.version + 1 < current.version:
            yield keys.version(event.version + 1)

    def _was_current(self, event: Event, keys: ResourceKeys, records: dict[str, Record]) -> bool:
        """In the period asked for? A version is current until the next one is made."""
        if not self._is_before(event):
            return True
        current = self._currents[keys.current]
        if current is None or current.version <= event.version + 1:
            return True  # it still is, or `_may_count` saw when the next one came
        after = records.get(keys.version(event.version + 1))
        return after is not None and after.t > self._at_start

    def _is_before(self, event: Event) -> bool:
        return event.t < self._at_start

    @property
    def _at_start(self) -> int:
        return 0 if self.at is None else self.at.start


def _without_content(record: Record | None) -> Record | None:
    return None if record is None else replace(record, resource=None)
