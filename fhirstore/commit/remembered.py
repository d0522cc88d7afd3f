"""What this process last saw of a resource's `current.json`, so that an update can skip its GET.

A remembered base is a guess that the commit point checks: If-Match on its ETag fails when it is stale, and the write
starts over with a GET. It is there to number and time the next version, and to tell which of its identifiers are new.
The rest of its content is left out, and nothing is ever read from it.

It is kept as few bytes, not as the objects it is made of. Those would live between short-lived ones and be freed
thousands of requests later, so that the allocator handed out memory that no cache knew any more: 8 µs a create.
"""

from __future__ import annotations

from collections import OrderedDict

import msgspec
from msgspec.structs import replace

from fhirstore.commit.attempt import Base
from fhirstore.format.record import Record
from fhirstore.index.names import without_the_rest

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Record).decode


class RememberedBases:
    """The most recently used bases, by tenant and key of `current.json`; at most `limit` of them."""

    def __init__(self, limit: int = 10_000) -> None:
        self._limit = limit
        self._bases: OrderedDict[str, bytes] = OrderedDict()  # the ETag, a line's end, the record

    def get(self, tenant: str, key: str) -> Base | None:
        """The base to try, if any."""
        kept = self._bases.get(_name(tenant, key))
        if kept is None:
            return None
        etag, _, record = kept.partition(b"\n")
        return Base(_unpack(record), etag.decode(), whole=False)

    def remember(self, tenant: str, key: str, record: Record, etag: str) -> None:
        """`current.json` held `record` under `etag` a moment ago."""
        name, start = _name(tenant, key), etag.encode() + b"\n"
        known = self._bases.get(name)
        if known is not None:
            self._bases.move_to_end(name)
            if known.startswith(start):
                return
        if record.resource:
            record = replace(record, resource=without_the_rest(record.resource))
        self._bases[name] = start + _pack(record)
        if len(self._bases) > self._limit:
            self._bases.popitem(last=False)

    def forget(self, tenant: str, key: str) -> None:
        """It turned out to be stale, or became so."""
        self._bases.pop(_name(tenant, key), None)


def _name(tenant: str, key: str) -> str:
    return f"{tenant}\n{key}"  # neither has a line's end
