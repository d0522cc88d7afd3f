"""From the events of the history log to the committed versions that an index lacks.

An event says that an attempt was to make a version. What it came to is read from `current.json`: the version there is
applied, whatever the events said, so one GET serves all events of a resource. An event above it may still be committed,
if its write window is not over; otherwise its attempt is dead.

**What is returned is a consistent cut**: of a transaction, all versions or none. While the resources are read one after
the other, a transaction may be committed: the first was read before that, the second after it. So the decision of each
young transaction that was met is read, and its other resources are read again. It is met at the current version of a
resource or, where another write has followed, below it: so those are read, too, as far as they are young. *Young* is
what may have been committed after the LIST began.

Cost: 1 GET for each resource with an event that the index does not know, 1 more for each of its young versions below
the current one, 1 for each young transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fhirstore.commit.idempotent import listed
from fhirstore.commit.messages import Absent, Get, List, Protocol
from fhirstore.commit.reading import ask
from fhirstore.errors import InvalidResource
from fhirstore.format.decision import decode_decision
from fhirstore.format.keyspace import RECEIPT, Event, Keyspace, ResourceKeys, parse_event
from fhirstore.format.record import Record
from fhirstore.history.bracket import position
from fhirstore.history.records import currents_at, records_at

LIST = 1_000


@dataclass(frozen=True, slots=True)
class Listing:
    """`events`: in their order. `complete`: there are no more; otherwise these are all before the time `end`, in ms.

    Where it is complete, `keys`: of the events; `left_out`: of those that the caller is done with.
    """

    events: tuple[Event, ...]
    complete: bool
    end: int
    keys: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Committed:
    """`records`: of the newest committed version of each resource, by name. `undecided`: the earliest time of an event
    whose attempt may still be committed, epoch ms; None if there is none.
    """

    records: Mapping[str, Record]
    undecided: int | None


def events_from(keys: Keyspace, since: int, *, most: int, done: Collection[str] = frozenset()) -> Protocol[Listing]:
    """Returns the events of all types from the time `since` (epoch ms) on. 1 LIST per thousand. Raises Unavailable.

    `most`: stop after about so many, always between two times: a transaction is never cut in two. `done`: keys of
    events that the caller is done with; they are left out, and do not count.
    """
    prefix = keys.system_history()
    request = List(prefix, start_after=prefix + position(since), limit=LIST)
    events: list[Event] = []
    read: list[str] = []
    left_out: list[str] = []
    while True:
        page = yield from listed(request)
        for found in page.objects:
            if found.key in done:
                left_out.append(found.key)
            elif (event := _event(found.key)) is not None:
                events.append(event)
                read.append(found.key)
        if page.cursor is None:
            return Listing(tuple(events), True, events[-1].t if events else since, tuple(read), tuple(left_out))
        if len(events) >= most and events[-1].t > events[0].t:
            end = events[-1].t
            return Listing(tuple(event for event in events if event.t < end), False, end)
        request = List(prefix, cursor=page.cursor, limit=LIST)


def committed(keys: Keyspace, events: Iterable[Event], known: Mapping[str, int], *, safe: int) -> Protocol[Committed]:
    """Returns what the events came to. Raises Unavailable, CorruptRecord.

    `known`: the versions that the index has; it may leave out any. `safe`: the safe time before the LIST, epoch ms:
    what is earlier is decided for good.
    """
    reading = _Reading(keys, known, safe)
    unknown = [event for event in events if event.version > known.get(name_of(event), 0)]
    yield from reading.read(dict.fromkeys((event.type, event.id) for event in unknown))
    undecided = [
        event.t
        for event in unknown
        if event.t >= safe and event.version > max(reading.version(name_of(event)), known.get(name_of(event), 0))
    ]
    return Committed(reading.records, min(undecided, default=None))


def first_times(
    keys: Keyspace, events: Iterable[Event], records: Mapping[str, Record], known: Mapping[str, int]
) -> Protocol[dict[str, int]]:
    """Returns the time of the first version, epoch ms, of resources that have events or records; not of all `known`.

    `records`: what the events came to. The times are the same on every machine: they decide the order of searches. An
    event may be that of a dead attempt, which others do not see. So where the record does not tell whether the first
    event is that of a version, that version is read: 1 GET for each new resource that has three versions or more, and
    for each that was met as a part of a transaction only, its own events not being listed yet. Resources without a
    record are left out: their events are of dead attempts, and the record that comes later may be of another time.
    """
    firsts: dict[str, Event] = {}
    for event in events:
        first = firsts.setdefault(name_of(event), event)
        if event.version < first.version:
            firsts[name_of(event)] = event
    times = {name: first.t for name, first in firsts.items() if name in records and not known.get(name)}
    unclear: dict[str, str] = {}
    for name in times:
        record, first = records[name], firsts[name]
        if record.version == first.version + 1 and record.prior == first.op:
            continue
        if record.version == first.version:
            times[name] = record.t
        else:
            unclear[name] = keys.resource(first.type, first.id).version(first.version)
    for name, record in records.items():
        if name not in firsts and not known.get(name) and record.version > record.floor + 1:
            type_, _, id_ = name.partition("/")
            unclear[name] = keys.resource(type_, id_).version(record.floor + 1)
    if unclear:
        read = yield from records_at(list(unclear.values()), set())
        times |= {name: found.t for name, key in unclear.items() if (found := read.get(key)) is not None}
    return times


def name_of(event: Event) -> str:
    """`Type/id` of the resource of an event."""
    return f"{event.type}/{event.id}"


@dataclass(slots=True)
class _Reading:
    keys: Keyspace
    known: Mapping[str, int]
    safe: int
    records: dict[str, Record] = field(default_factory=dict)
    _decided: set[str] = field(default_factory=set)  # transactions whose resources are all read

    def version(self, name: str) -> int:
        record = self.records.get(name)
        return 0 if record is None else record.version

    def read(self, resources: Iterable[tuple[str, str]]) -> Protocol[None]:
        """Reads these resources, and all that belong to the same young transactions."""
        wanted = list(resources)
        while wanted:
            some = [self.keys.resource(*one) for one in wanted]
            currents = yield from currents_at(some)
            young: list[tuple[ResourceKeys, int]] = []
            transactions: set[str] = set()
            for one in some:
                seen = currents.get(one.current)
                if seen is None or not seen.record.version:
                    continue
                name = f"{one.type}/{one.id}"
                if seen.record.version > self.version(name):
                    self.records[name] = seen.record
                if seen.record.t >= self.safe:
                    transactions |= _transaction(seen.record)
                    young.append((one, seen.record.version - 1))
            transactions |= yield from self._below(young)
            wanted = yield from self._parts(transactions - self._decided)
            self._decided |= transactions

    def _below(self, young: Sequence[tuple[ResourceKeys, int]]) -> Protocol[set[str]]:
        """Returns the young transactions that made versions from these on downwards, as far as they are young."""
        found: set[str] = set()
        left = [(one, version) for one, version in young if version > self.known.get(f"{one.type}/{one.id}", 0)]
        while left:
            records = yield from records_at([one.version(version) for one, version in left], set())
            following: list[tuple[ResourceKeys, int]] = []
            for one, version in left:
                record = records.get(one.version(version))
                if record is not None and record.t >= self.safe:
                    found |= _transaction(record)
                    if version - 1 > self.known.get(f"{one.type}/{one.id}", 0):
                        following.append((one, version - 1))
            left = following
        return found

    def _parts(self, transactions: Iterable[str]) -> Protocol[list[tuple[str, str]]]:
        """Returns the resources of committed transactions that were read before the commit, or not at all."""
        names = sorted(transactions)
        wanted: dict[tuple[str, str], None] = {}
        if not names:
            return []
        replies = yield from ask(*(Get(self.keys.transaction(tx)) for tx in names))
        for tx, reply in zip(names, replies, strict=True):
            if isinstance(reply, Absent):
                continue
            decision = decode_decision(reply.body, self.keys.transaction(tx))
            for type_, id_, version in decision.parts if decision.committed else ():
                name = f"{type_}/{id_}"
                if type_ != RECEIPT and version > max(self.version(name), self.known.get(name, 0)):
                    wanted[type_, id_] = None
        return list(wanted)


def _transaction(record: Record) -> set[str]:
    return {record.op} if record.parts else set()


def _event(key: str) -> Event | None:
    """Returns the event of a key; None for a receipt, and for a key that fhirstore did not write."""
    try:
        event = parse_event(key)
        Keyspace("").resource(event.type, event.id)
    except (ValueError, InvalidResource):
        return None
    return None if event.type == RECEIPT else event
