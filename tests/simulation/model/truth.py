"""What was truly committed, seen from inside the store: every change is checked against the protocol's promises.

A version comes to be at one instant, when `current.json` is written over by the next one, or when the record of its
transaction lands. From these instants each resource gets a timeline, so that whatever a client was told can be judged
in linear time (`History.shows`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fhirstore.commit.attempt import body_beside
from fhirstore.commit.limits import Limits
from fhirstore.errors import CorruptRecord
from fhirstore.format.keyspace import Event, Keyspace, ResourceKeys, parse_event
from fhirstore.format.record import Record, decode
from fhirstore.history.watermark import watermark_of
from fhirstore.jobs.state import decode_state
from tests.simulation.model.bucket import Bucket
from tests.simulation.model.decisions import Transactions
from tests.simulation.model.identities import Identities
from tests.simulation.model.payloads import Payloads
from tests.simulation.model.runs import SealedRuns
from tests.simulation.model.world import World

KEYS = Keyspace("")
TYPE = "Basic"
_FOREVER = float("inf")


@dataclass(slots=True)
class Committed:
    """One version, and when it was there to see: from `at` until it was `purged`; its object until it was `gone`."""

    record: Record
    body: bytes
    at: float
    purged: float = _FOREVER
    gone: float = _FOREVER


@dataclass(slots=True)
class History:
    """One resource. `states`: (from when, which version a reader sees; 0 for none)."""

    keys: ResourceKeys
    versions: list[Committed] = field(default_factory=list)
    states: list[tuple[float, int]] = field(default_factory=lambda: [(0.0, 0)])

    def shows(self, version: int, began: float, ended: float) -> bool:
        """Was this the version that readers saw, at some instant between?"""
        for index, (since, seen) in enumerate(self.states):
            until = self.states[index + 1][0] if index + 1 < len(self.states) else _FOREVER
            if seen == version and since <= ended and until >= began:
                return True
        return False

    def holds(self, version: int, began: float, ended: float) -> bool:
        """Was this version there to be read, as current or older, at some instant between?"""
        if not 0 < version <= len(self.versions):
            return False
        there = self.versions[version - 1]
        return there.at <= ended and there.purged >= began

    def lacks(self, version: int, began: float, ended: float) -> bool:
        """Was this version not there to be read, at some instant between?"""
        if not 0 < version <= len(self.versions):
            return True
        there = self.versions[version - 1]
        return there.at >= began or there.purged <= ended

    @property
    def floor(self) -> int:
        """Versions up to this one were purged."""
        return sum(version.purged < _FOREVER for version in self.versions)


class Truth:
    """All resources' histories, kept by watching the bucket."""

    def __init__(self, world: World, bucket: Bucket, limits: Limits) -> None:
        self.world = world
        self.bucket = bucket
        self.limits = limits
        self.histories: dict[str, History] = {}
        self.landed: dict[tuple[str, str], tuple[History, Committed]] = {}  # by id and op token
        self.transactions = Transactions(self)
        self.identities = Identities(self)
        self.sealed_runs = SealedRuns(self)
        self.payloads = Payloads(self)
        self.purges: dict[str, float] = {}  # when, by op token
        self.watermark = 0
        self.announced: set[tuple[str, str]] = set()  # ids and op tokens whose event appeared
        bucket.observer = self._changed

    def history(self, id: str, type: str = TYPE) -> History:
        """The history of this id, empty at first. No two types share an id."""
        known = self.histories.get(id)
        if known is None:
            known = self.histories[id] = History(KEYS.resource(type, id))
        return known

    def _changed(self, key: str, before: bytes | None, after: bytes | None) -> None:
        try:
            if key.startswith("resources/"):
                _, type_, id_, *rest = key.split("/")
                history = self.history(id_, type_)
                if rest == ["current.json"]:
                    self._current(history, before, after)
                else:
                    self._slot(history, int(rest[1].removesuffix(".json")), after)
            elif key.startswith("history/"):
                self._event(parse_event(key), after)
            elif key.startswith(KEYS.transactions()):
                self.transactions.decided(key, before, after)
            elif key.startswith(KEYS.runs()):
                self.sealed_runs.changed(key, before, after)
            elif key.startswith(KEYS.payloads()):
                self.payloads.changed(key, before, after)
            elif key.startswith(KEYS.identity()):
                self.identities.changed(key, after)
            elif key == KEYS.sweep_state and after is not None:
                self._swept(watermark_of(decode_state(after, key)))
        except CorruptRecord as corrupt:
            self.broken(f"written and unreadable: {corrupt.key}")

    def broken(self, finding: str) -> None:
        """A promise was broken."""
        self.world.violated(finding)

    # --- current.json -------------------------------------------------------------------------------------------

    def _current(self, history: History, before: bytes | None, after: bytes | None) -> None:
        keys = history.keys
        if after is None:
            self.broken(f"{keys.id}: current.json was deleted")
            return
        new = decode(after, keys.current)
        old = Record(0, 0, new.op, "STUB") if before is None else decode(before, keys.current)
        base = None if before is None else self.bucket.objects[keys.current].etag
        if old.intent is not None or new.intent is not None:
            self.transactions.current_changed(history, old, new, base, after)
        elif new.version == old.version + 1:
            self.commit(history, old, new, after, base)
        elif new.method == "PURGE" and new.version == new.floor == old.version and old.exists:
            self._purge(history, new)
        elif new.version != old.version:
            self.broken(f"{keys.id}: versions jump from {old.version} to {new.version}")
        elif facts(new) != facts(old):
            self.broken(f"{keys.id}: version {new.version} was changed in place")

    def commit(self, history: History, old: Record, new: Record, body: bytes, base: str | None) -> None:
        """A version came to be."""
        keys, now, version = history.keys, self.world.time, new.version
        name = f"{keys.id} version {version}"
        if version != len(history.versions) + 1:
            self.broken(f"{name}: versions are not contiguous")
        if new.base != base:
            self.broken(f"{name}: committed over another current.json than it was built on")
        if new.floor != old.floor or (version > 1 and new.prior != old.op):
            self.broken(f"{name}: does not carry the floor and the op of the version before")
        if history.versions and new.t <= history.versions[-1].record.t:
            self.broken(f"{name}: t does not grow")
        if now > new.t + self.limits.settled_for(new):
            self.broken(f"{name}: committed {now - new.t:.0f} ms after its t")
        slot = self.bucket.objects.get(keys.version(version))
        if slot is None or slot.body != body:
            self.broken(f"{name}: committed without its version object")
        event = (new.t, version, new.method, new.op)
        for key in (keys.type_event(*event), keys.system_event(*event)):
            if key not in self.bucket.objects:
                self.broken(f"{name}: committed without its event {key}")
        if (keys.id, new.op) in self.landed:
            self.broken(f"{name}: op {new.op} was committed before")
        committed = Committed(new, body, now)
        history.versions.append(committed)
        history.states.append((now, version))
        self.landed[keys.id, new.op] = (history, committed)
        self.identities.committed(history, new)
        self.payloads.committed(history.keys, new)
        self.world.note("COMMIT", f"{name} op={new.op}")

    def _purge(self, history: History, new: Record) -> None:
        for committed in history.versions:
            committed.purged = min(committed.purged, self.world.time)
        self.purges[new.op] = self.world.time
        self.in_time(f"{history.keys.id} purge", new.t, self.limits.settled_for(new))
        history.states.append((self.world.time, 0))
        self.world.note("PURGE", f"{history.keys.id} up to version {new.version}")

    # --- version objects and events -----------------------------------------------------------------------------

    def _slot(self, history: History, version: int, after: bytes | None) -> None:
        name = f"{history.keys.id} slot {version}"
        stands = version <= len(history.versions) and version > history.floor
        if stands and after != history.versions[version - 1].body:
            self.broken(f"{name}: a committed version was {'deleted' if after is None else 'written over'}")
        if after is None and version <= len(history.versions):
            history.versions[version - 1].gone = self.world.time
        if after is not None:
            record = decode(after, name)
            self.in_time(name, record.t, self.limits.settled_for(record))

    def _event(self, event: Event, after: bytes | None) -> None:
        name = f"event {event.id} version {event.version} op={event.op}"
        if after is not None:
            self.announced.add((event.id, event.op))
            self.in_time(name, event.t, self.limits.settled)
            if event.t < self.watermark:
                self.broken(f"{name}: appeared below the watermark")
            return
        landed = self.landed.get((event.id, event.op))
        if landed is not None and landed[1].purged == _FOREVER:
            self.broken(f"{name}: deleted, though its version is committed")

    def _swept(self, watermark: int) -> None:
        if watermark < self.watermark:
            self.broken(f"the watermark went back, from {self.watermark} to {watermark}")
        self.watermark = watermark
        for key in self.bucket.objects:
            if key.startswith("history/"):
                event = parse_event(key)
                if event.t < watermark and (event.id, event.op) not in self.landed:
                    self.broken(
                        f"event {event.id} version {event.version} op={event.op}: an orphan below the watermark"
                    )

    def in_time(self, name: str, t: int, settled: int) -> None:
        """Something that carries `t` appears."""
        late = self.world.time - t - settled
        if late > 0:
            self.broken(f"{name}: appeared {late:.0f} ms after everything with its t had to be settled")

    # --- at the end of time -------------------------------------------------------------------------------------

    def check(self) -> None:
        """All that must lie in the bucket does, and it is what was committed."""
        for id_, history in self.histories.items():
            kept = self.bucket.objects.get(history.keys.current)
            record = None if kept is None else decode(kept.body, history.keys.current)
            top = 0 if record is None else record.version
            if record is not None and record.intent is not None and history.versions:
                self.broken(f"{id_}: an intent that nobody clears")
            if top != len(history.versions):
                self.broken(f"{id_}: current is version {top}, committed were {len(history.versions)}")
            for version, committed in enumerate(history.versions, 1):
                if version > history.floor:
                    self._there(history.keys.version(version), committed.body)
                    new = committed.record
                    event = (new.t, version, new.method, new.op)
                    self._there(history.keys.type_event(*event), body_beside(new))
                    self._there(history.keys.system_event(*event), body_beside(new))

    def check_swept(self, *, remnants: bool) -> None:
        """Nothing lies in the bucket but what was committed. `remnants`: a purge was cut short, so some may be left.

        A sweep finds orphans by their events, so a slot that came without any is fsck's to find, or the next writer's.
        """
        for key, kept in self.bucket.objects.items():
            if key.startswith("resources/") and not key.endswith("current.json"):
                record = decode(kept.body, key)
                id_, op, version = key.split("/")[2], record.op, record.version
            elif key.startswith("history/"):
                event = parse_event(key)
                id_, op, version = event.id, event.op, event.version
            elif key.startswith(KEYS.transactions()):
                self.broken(f"{key}: a record that nobody needs any more")
                continue
            else:
                continue
            committed = self.landed.get((id_, op))
            if committed is None and (id_, op) in self.announced:
                self.broken(f"{key}: an orphan that no sweep removes")
            elif committed is not None and version <= committed[0].floor and not remnants:
                self.broken(f"{key}: was purged, and lies there still")

    def _there(self, key: str, body: bytes) -> None:
        kept = self.bucket.objects.get(key)
        if kept is None or kept.body != body:
            self.broken(f"{key}: {'lost' if kept is None else 'changed'} after it was committed")


def facts(record: Record) -> tuple[object, ...]:
    """What a fence or a hold leaves as it is."""
    stub = record.method == "STUB"
    return (
        record.version,
        record.t,
        "" if stub else record.op,
        record.method,
        record.resource,
        record.floor,
        record.payload,
    )
