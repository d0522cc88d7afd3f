"""Reads many records in parallel, and bounds the memory that they take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from fhirstore.batched import batched
from fhirstore.commit.messages import Absent, Archived, Get, Protocol
from fhirstore.commit.reading import ask, ask_archive, seen
from fhirstore.commit.side_by_side import side_by_side
from fhirstore.errors import ObjectArchived
from fhirstore.format.keyspace import ResourceKeys
from fhirstore.format.record import Record, decode
from fhirstore.objects.base import StoredObject

IN_FLIGHT = 64
_FIRST = 16


@dataclass(slots=True)
class Budget:
    """`room`: the bytes that a page may still take. `largest`: the size of the largest record so far. `first`: how many
    to read at once before the size of any is known.
    """

    room: int
    largest: int = 0
    first: int = _FIRST

    @property
    def at_once(self) -> int:
        """Returns how many records may be read in parallel."""
        return max(1, min(IN_FLIGHT, self.room // self.largest)) if self.largest else self.first

    def expect(self, record: Record) -> None:
        """Takes note of a record's size: others may be as large."""
        self.largest = max(self.largest, len(record.resource or b""), 1)

    def spend(self, record: Record) -> None:
        """Takes note that this record is on the page."""
        self.expect(record)
        self.room -= len(record.resource or b"")


class Seen(msgspec.Struct, frozen=True):
    """The version that a reader saw, and the store's date (epoch ms) when `current.json` was read."""

    record: Record
    date: int


def currents_at(resources: Sequence[ResourceKeys]) -> Protocol[dict[str, Seen]]:
    """Returns the versions that readers see of these resources, by key of `current.json`.

    1 GET each, 2 or 3 more where there is an intent. Raises Unavailable, CorruptRecord.
    """
    records: dict[str, Seen] = {}
    for batch in batched(resources, IN_FLIGHT):
        replies = yield from ask(*(Get(keys.current) for keys in batch))
        announced: list[tuple[ResourceKeys, StoredObject]] = []
        for keys, reply in zip(batch, replies, strict=True):
            if isinstance(reply, Absent):
                continue
            record = decode(reply.body, keys.current)
            if record.intent is None:
                records[keys.current] = Seen(record, reply.date)
            else:
                announced.append((keys, reply))
        if not announced:
            continue
        found = yield from side_by_side([seen(keys, reply) for keys, reply in announced])
        records |= {
            keys.current: Seen(record, reply.date)
            for (keys, reply), record in zip(announced, found, strict=True)
            if record is not None
        }
    return records


def records_at(keys: Sequence[str], archived: set[str] | None = None) -> Protocol[dict[str, Record]]:
    """Returns the records that can be read, by key, in the order of `keys`. Raises Unavailable, CorruptRecord.

    `archived`: gets the keys of those in an archive class; without it they raise ObjectArchived.
    """
    records: dict[str, Record] = {}
    for batch in batched(keys, IN_FLIGHT):
        replies = yield from ask_archive(*map(Get, batch))
        for key, reply in zip(batch, replies, strict=True):
            if isinstance(reply, Archived):
                if archived is None:
                    raise ObjectArchived(key, date=reply.date)
                archived.add(key)
            elif not isinstance(reply, Absent):
                records[key] = decode(reply.body, key)
    return records
