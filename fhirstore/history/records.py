"""Reading many records at once: so many that it is quick, so few that they fit into memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from fhirstore.batched import batched
from fhirstore.commit.messages import Absent, Get, Protocol
from fhirstore.commit.reading import ask, seen
from fhirstore.commit.side_by_side import side_by_side
from fhirstore.format.keyspace import ResourceKeys
from fhirstore.format.record import Record, decode

IN_FLIGHT = 64
_FIRST = 16  # as long as nobody knows how large the versions are


@dataclass(slots=True)
class Budget:
    """Bytes that a page may still take (`room`), and from that how many records to read at once."""

    room: int
    largest: int = 0

    @property
    def at_once(self) -> int:
        return max(1, min(IN_FLIGHT, self.room // self.largest)) if self.largest else _FIRST

    def expect(self, record: Record) -> None:
        """Others will be about as large as this one."""
        self.largest = max(self.largest, len(record.resource or b""), 1)

    def spend(self, record: Record) -> None:
        """This one is on the page."""
        self.expect(record)
        self.room -= len(record.resource or b"")


class Seen(msgspec.Struct, frozen=True):
    """What a reader saw of a resource, and the store's date (epoch ms) when `current.json` was read."""

    record: Record
    date: int


def currents_at(resources: Sequence[ResourceKeys]) -> Protocol[dict[str, Seen]]:
    """What readers see of these resources, by key of `current.json`. 1 GET each, 2 or 3 more where an intent stands.

    Raises Unavailable, CorruptRecord.
    """
    records: dict[str, Seen] = {}
    for batch in batched(resources, IN_FLIGHT):
        replies = yield from ask(*(Get(keys.current) for keys in batch))
        found = yield from side_by_side([seen(keys, reply) for keys, reply in zip(batch, replies, strict=True)])
        records |= {
            keys.current: Seen(record, reply.date)
            for keys, record, reply in zip(batch, found, replies, strict=True)
            if record is not None
        }
    return records


def records_at(keys: Sequence[str]) -> Protocol[dict[str, Record]]:
    """The records that are there, by key, in the order of `keys`. Raises Unavailable, CorruptRecord."""
    records: dict[str, Record] = {}
    for batch in batched(keys, IN_FLIGHT):
        replies = yield from ask(*map(Get, batch))
        records |= {
            key: decode(reply.body, key)
            for key, reply in zip(batch, replies, strict=True)
            if not isinstance(reply, Absent)
        }
    return records
