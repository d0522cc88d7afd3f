"""Which events belong to committed versions ("count"), and the records of those versions.

An event is written before its version is committed, and an attempt that died leaves its events behind. An event counts
only if the resource's current version has reached its version, and that version has the event's op token. So
`current.json` is read first, once per resource; often it is the version itself. Otherwise the version object is read
after it, and is final, unless a purge came in between (rule R3 in `commit.reading`). Below the sweeper's watermark the
version object alone is enough.

The versions of a transaction count all together or not at all: see `whole_transactions`.

A page ends before a version in an archive class; the current version is read from `current.json` instead. A page that
would begin with such a version raises ObjectArchived.

Cost: at most 2 GET per event, and 1 more per resource that gained two versions within the last seconds. At most 64 are
in flight, fewer if the versions so far are large.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from msgspec import structs

from fhirstore.commit.limits import Limits
from fhirstore.commit.messages import Protocol
from fhirstore.errors import InvalidResource, ObjectArchived
from fhirstore.fhir.times import Period
from fhirstore.format.keyspace import RECEIPT, Event, Keyspace, ResourceKeys, parse_event
from fhirstore.format.record import Record
from fhirstore.history.records import Budget, Seen, currents_at, records_at
from fhirstore.history.whole_transactions import Looks, Stretch, after, at, torn
from fhirstore.version import Version, version_of

_Found = tuple[Event, ResourceKeys]


@dataclass(slots=True)
class Counting:
    """Reads the versions that belong to the events of one page.

    `prefix`: of the event keys of this history. `listed`: the names of all events that were listed for the page.
    `stretch`: the part of the history that was listed. `kept`: see `whole_transactions.torn`.
    """

    keys: Keyspace
    prefix: str
    watermark: int
    at: Period | None
    listed: Mapping[str, None]
    stretch: Stretch
    kept: int
    limits: Limits
    oldest_first: bool = False
    _currents: dict[str, Seen | None] = field(default_factory=dict)  # by key of current.json; without the resources
    _archived: set[str] = field(default_factory=set)  # keys of version objects that cannot be read

    def versions(self, names: Sequence[str], budget: Budget) -> Protocol[tuple[list[Version], int] | None]:
        """Returns the versions among the events, in order, and how many events were read before the page was full.

        Returns None if this took so long that a transaction's record is gone by now: the caller must list again.
        """
        found: list[tuple[Event, Record]] = []
        events: list[_Found] = []
        looked = 0
        while looked < len(names) and budget.room > 0:
            chunk = names[looked : looked + budget.at_once]
            some = [known for name in chunk if (known := self._event(name)) is not None]
            counted = yield from self._records(some)
            readable = self._readable(chunk)
            if readable < len(chunk):
                some = [known for name in chunk[:readable] if (known := self._event(name)) is not None]
                kept = {event for event, _ in some}
                counted = [one for one in counted if one[0] in kept]
            looked += readable
            events += some
            found += counted
            for _, record in counted:
                budget.spend(record)
            if readable < len(chunk):
                if not looked:
                    self._refuse_archived(chunk[0])
                break
        left_out = yield from self._torn(found, events, names[:looked])
        if left_out is None:
            return None
        versions = [
            version_of(event.type, event.id, record, created=record.created)
            for event, record in found
            if event.op not in left_out
        ]
        return versions, looked

    def _torn(
        self, found: Sequence[tuple[Event, Record]], events: Sequence[_Found], names: Sequence[str]
    ) -> Protocol[set[str] | None]:
        """Returns the transactions that were committed only while the page was being read: the page leaves them out."""
        young = {event.op: event.t for event, record in found if record.parts and self._in_doubt(event)}
        if not young:
            return set()
        mine = [(event, keys) for event, keys in events if event.op in young]
        unseen = [event for event, keys in mine if not self._reached(event, keys)]
        left = self.listed.keys() - set(names)
        later = [known for name in left if _op(name) in young and (known := self._event(name)) is not None]
        stretch = self.stretch
        if left:  # the page ends before the listing does
            last = names[-1]
            stretch = replace(stretch, below=after(last)) if self.oldest_first else replace(stretch, first=at(last))
        looks = Looks([event for event, _ in mine], unseen, [event for event, _ in later], stretch)
        return (yield from torn(self.keys, young, looks, kept=self.kept))

    def _reached(self, event: Event, keys: ResourceKeys) -> bool:
        """Had the resource reached this version when its `current.json` was read?"""
        seen = self._currents.get(keys.current)
        return seen is not None and event.version <= seen.record.version

    def _event(self, name: str) -> _Found | None:
        try:
            event = parse_event(self.prefix + name)
            keys = self.keys.resource(event.type, event.id)
        except (ValueError, InvalidResource):
            return None  # fhirstore did not write this key
        return None if event.type == RECEIPT else (event, keys)

    def _records(self, events: list[_Found]) -> Protocol[list[tuple[Event, Record]]]:
        """Returns those of the events that count, with their records."""
        unseen = {keys.current: keys for event, keys in events if self._in_doubt(event)}
        for key in self._currents:
            unseen.pop(key, None)
        currents = yield from currents_at([unseen[key] for key in sorted(unseen)])
        self._currents |= {key: _without_content(currents.get(key)) for key in unseen}
        counting = [(event, keys) for event, keys in events if self._may_count(event, keys)]
        records = {
            keys.version(seen.record.version): seen.record
            for _, keys in counting
            if (seen := currents.get(keys.current)) is not None
        }
        slots = {key for event, keys in counting for key in self._slots(event, keys)} - records.keys()
        records |= yield from records_at(sorted(slots), self._archived)
        if self._archived:
            records |= yield from self._current_instead(counting)
        counted = [
            (event, keys, record)
            for event, keys in counting
            if (record := records.get(keys.version(event.version))) is not None
            and record.op == event.op
            and self._was_current(event, keys, records)
        ]
        purged = yield from self._purged_since(counted, records)
        return [(event, record) for event, keys, record in counted if record.version > purged.get(keys.current, 0)]

    def _current_instead(self, events: Sequence[_Found]) -> Protocol[dict[str, Record]]:
        """Returns, for slots that are archived, what `current.json` says of the version, where that is the current one.

        1 GET for each resource with such a slot.
        """
        wanted = {keys.current: keys for event, keys in events if self._archived_slot(event, keys)}
        currents = yield from currents_at(list(wanted.values()))
        records = {wanted[key].version(seen.record.version): seen.record for key, seen in currents.items()}
        found = {slot: record for slot, record in records.items() if slot in self._archived}
        self._archived -= found.keys()
        return found

    def _archived_slot(self, event: Event, keys: ResourceKeys) -> str:
        """Returns the archived version object without which this event cannot be judged or shown; "" without one."""
        if not self._archived or not self._may_count(event, keys):
            return ""
        return next((slot for slot in self._slots(event, keys) if slot in self._archived), "")

    def _readable(self, names: Sequence[str]) -> int:
        """Returns how many of these events come before the first with an archived version."""
        if self._archived:
            for number, name in enumerate(names):
                if (known := self._event(name)) is not None and self._archived_slot(*known):
                    return number
        return len(names)

    def _refuse_archived(self, name: str) -> None:
        """Raises ObjectArchived for the event with this name."""
        if (known := self._event(name)) is not None:
            raise ObjectArchived(self._archived_slot(*known))

    def _purged_since(
        self, counted: Sequence[tuple[Event, ResourceKeys, Record]], records: Mapping[str, Record]
    ) -> Protocol[dict[str, int]]:
        """Returns the floors of resources that may have been purged since their `current.json` was read: rule R3."""
        doubtful: dict[str, ResourceKeys] = {}
        purged: dict[str, int] = {}
        for _, keys, record in counted:
            seen = self._currents.get(keys.current)
            if seen is None or record.op == seen.record.op or not self.limits.may_follow(record, seen.date):
                continue
            if not _is_named(record, keys, seen.record, records):
                doubtful[keys.current] = keys
                purged[keys.current] = seen.record.version  # if `current.json` is gone
        now = yield from currents_at(list(doubtful.values()))
        return purged | {key: seen.record.floor for key, seen in now.items()}

    def _in_doubt(self, event: Event) -> bool:
        """Must `current.json` be read to judge this event?"""
        return event.t >= self.watermark or self.at is not None

    def _may_count(self, event: Event, keys: ResourceKeys) -> bool:
        if self.at is not None and event.t >= self.at.end:
            return False
        if not self._in_doubt(event):
            return True
        seen = self._currents[keys.current]
        if seen is None or not seen.record.floor < event.version <= seen.record.version:
            return False
        current = seen.record
        return not (self._is_before(event) and event.version < current.version and current.t <= self._at_start)

    def _slots(self, event: Event, keys: ResourceKeys) -> Iterator[str]:
        """Yields the version objects that are needed to judge it: its own, and the next one if the period matters."""
        yield keys.version(event.version)
        seen = self._currents.get(keys.current)
        if self._is_before(event) and seen is not None and event.version + 1 < seen.record.version:
            yield keys.version(event.version + 1)

    def _was_current(self, event: Event, keys: ResourceKeys, records: dict[str, Record]) -> bool:
        """Was it current in the period that the query asks for? A version is current until the next one is made."""
        if not self._is_before(event):
            return True
        seen = self._currents[keys.current]
        if seen is None or seen.record.version <= event.version + 1:
            return True  # it is current now, or `_may_count` has checked the time of the next one
        after = records.get(keys.version(event.version + 1))
        return after is not None and after.t > self._at_start

    def _is_before(self, event: Event) -> bool:
        return event.t < self._at_start

    @property
    def _at_start(self) -> int:
        return 0 if self.at is None else self.at.start


def _is_named(record: Record, keys: ResourceKeys, current: Record, records: Mapping[str, Record]) -> bool:
    """Does the version after it name this record as its `prior`, so that it was committed?"""
    following = records.get(keys.version(record.version + 1))
    if current.version == record.version + 1:
        following = current
    return following is not None and following.prior == record.op


def _without_content(seen: Seen | None) -> Seen | None:
    return None if seen is None else Seen(structs.replace(seen.record, resource=None), seen.date)


def _op(name: str) -> str:
    return name[name.rfind("-") + 1 :].removesuffix(".json")
