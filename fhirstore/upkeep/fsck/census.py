"""Compares versions and events by three sums, without looking up each.

Every committed version must have two events, and every event a committed version. To look up each would cost three GETs
per version. Instead the hash of each version, of each system event and of each type event is added to one of three sums
of a bucket, which is chosen by the resource. Where the three sums of a bucket are equal, nothing is missing or
superfluous; only in the other buckets are versions and events looked up one by one. Memory: three numbers per bucket.
"""

from __future__ import annotations

import hashlib
import zlib
from array import array

from fhirstore.format.keyspace import Event

BUCKETS = 4096
_MASK = 2**64 - 1

VERSIONS, SYSTEM, TYPE = 0, 1, 2


class Census:
    """Three sums per bucket: of the versions, the system events and the type events with t < `before`."""

    def __init__(self, before: int) -> None:
        self._before = before
        self._sums = tuple(array("Q", bytes(8 * BUCKETS)) for _ in range(3))

    def add(self, event: Event, column: int) -> None:
        """Add an event, or the event that a version must have, to the sum `column`."""
        if event.t >= self._before:
            return
        sums, bucket = self._sums[column], bucket_of(event.type, event.id)
        sums[bucket] = (sums[bucket] + _hash(event)) & _MASK

    def disagreeing(self) -> frozenset[int]:
        """Returns the buckets whose three sums are not equal."""
        versions, system, type_ = self._sums
        return frozenset(n for n in range(BUCKETS) if not versions[n] == system[n] == type_[n])


def bucket_of(type: str, id: str) -> int:
    """Returns the bucket of a resource."""
    return zlib.crc32(f"{type}/{id}".encode()) % BUCKETS


def _hash(event: Event) -> int:
    text = f"{event.t}_{event.type}_{event.id}_{event.version}_{event.method}_{event.op}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
