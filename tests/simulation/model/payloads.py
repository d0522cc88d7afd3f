"""The promises about payloads, seen from inside the store.

What a visible version refers to is there, with its bytes, at every instant, and so is its reference. An object is named
by an entry before it appears, is never written over, and once it is waste nobody may refer to it again. At the end of
time every content is stored once, and nothing is left that no version refers to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fhirstore.format.keyspace import Keyspace, ResourceKeys, parse_payload_entry, parse_reference
from fhirstore.format.payload import Entry, decode_entry
from fhirstore.format.record import Record

if TYPE_CHECKING:
    from tests.simulation.model.truth import Truth

_KEYS = Keyspace("")
_FOREVER = float("inf")
_STEPS = {
    (None, "arriving"),
    ("arriving", "arriving"),
    ("arriving", "live"),
    ("arriving", "gone"),
    ("live", "live"),
    ("live", "condemned"),
    ("live", "gone"),  # what that would do must show
    ("condemned", "live"),
    ("condemned", "gone"),
    ("gone", "gone"),
    ("gone", "arriving"),
}


class Payloads:
    """All payloads, kept by watching the bucket."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._entries: dict[str, Entry] = {}  # by hash
        self._wasted: set[str] = set()

    def changed(self, key: str, before: bytes | None, after: bytes | None) -> None:
        """An object below `binary/` comes, changes or goes."""
        if key.startswith(_KEYS.payload_objects()):
            self._object(key, before, after)
        elif parse_payload_entry(_KEYS, key) is not None:
            self._entry(key, after)
        elif (reference := parse_reference(_KEYS, key)) is None:
            self._truth.broken(f"{key}: no key of a payload")
        elif after is None and (reference.id, reference.op) in {(id_, op) for id_, op, _ in self._visible()}:
            self._truth.broken(f"{key}: the reference of a visible version was removed")

    def committed(self, keys: ResourceKeys, record: Record) -> None:
        """A version came to be."""
        payload, objects = record.payload, self._truth.bucket.objects
        if payload is None:
            return
        kept = objects.get(payload.object)
        if kept is None or hashlib.sha256(kept.body).hexdigest() != payload.sha256:
            self._truth.broken(f"{keys.id} version {record.version}: committed without its content")
        if keys.reference(payload.sha256, record.version, record.op) not in objects:
            self._truth.broken(f"{keys.id} version {record.version}: committed without its reference")

    def _visible(self) -> Iterator[tuple[str, str, Record]]:
        for (id_, op), (_, committed) in self._truth.landed.items():
            if committed.record.payload is not None and committed.purged == _FOREVER:
                yield id_, op, committed.record

    def _object(self, name: str, before: bytes | None, after: bytes | None) -> None:
        if after is None:
            for id_, _, record in self._visible():
                if record.payload is not None and record.payload.object == name:
                    self._truth.broken(f"{name}: deleted, though version {record.version} of {id_} refers to it")
        elif before is not None and before != after:
            self._truth.broken(f"{name}: a payload was written over")
        elif before is None and not any(
            name in (entry.object, *entry.others, *entry.waste) for entry in self._entries.values()
        ):
            self._truth.broken(f"{name}: appeared, though no entry names it")

    def _entry(self, key: str, after: bytes | None) -> None:
        if after is None:
            self._truth.broken(f"{key}: an entry was removed")
            return
        now = decode_entry(after, key)
        old = self._entries.get(now.sha256)
        if (old.state if old is not None else None, now.state) not in _STEPS:
            self._truth.broken(f"{key}: from {old.state if old else None} to {now.state}")
        if back := self._wasted.intersection((now.object, *now.others)):
            self._truth.broken(f"{key}: {back} was waste, and is referred to again")
        self._wasted.update(now.waste)
        self._entries[now.sha256] = now

    def check(self, *, remnants: bool) -> None:
        """Every content is stored once, and nothing is left that no version refers to.

        `remnants`: a purge was cut short, so what purged versions refer to may be left, too.
        """
        kept = [(id_, op, record) for id_, op, record in self._visible()]
        if remnants:
            kept = [(id_, op, committed.record) for (id_, op), (_, committed) in self._truth.landed.items()]
        named = {(record.payload.sha256, record.payload.object) for _, _, record in kept if record.payload}
        stored = [name for name in named if name[1] in self._truth.bucket.objects]
        if len({sha256 for sha256, _ in stored}) < len(stored):
            self._truth.broken(f"a content is stored more than once: {sorted(stored)}")
        objects = {object_ for _, object_ in named}
        references = {
            self._truth.history(id_).keys.reference(record.payload.sha256, record.version, op)
            for id_, op, record in kept
            if record.payload
        }
        for key in self._truth.bucket.objects:
            if key.startswith(_KEYS.payload_objects()):
                if key not in objects:
                    self._truth.broken(f"{key}: nothing refers to it, and it lies there still")
            elif parse_reference(_KEYS, key) is not None and key not in references:
                self._truth.broken(f"{key}: the reference of an attempt that was never committed, or was purged")
        for entry in self._entries.values():
            if entry.waste or entry.others or (entry.state != "gone" and (entry.sha256, entry.object) not in named):
                self._truth.broken(f"an entry is left behind: {entry}")
