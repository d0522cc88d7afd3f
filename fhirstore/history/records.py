"""Reading many records at once: so many that it is quick, so few that they fit into memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fhirstore.commit.messages import Absent, Get, Protocol
from fhirstore.commit.reading import ask
from fhirstore.record import Record, decode

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


def records_at(keys: Sequence[str]) -> Protocol[dict[str, Record]]:
    """The records that are there, by key, in the order of `keys`. Raises Unavailable, CorruptRecord."""
    records: dict[str, Record] = {}
    for first in range(0, len(keys), IN_FLIGHT):
        batch = keys[first : first + IN_FLIGHT]
        replies = yield from ask(*map(Get, batch))
        records |= {
            key: decode(reply.body, key)
            for key, reply in zip(batch, replies, strict=True)
            if not isinstance(reply, Absent)
        }
    return records
