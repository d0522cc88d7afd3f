"""The bases that this process wrote last, so that an update needs no GET of `current.json`.

A remembered base is a guess that the commit point checks: if it is out of date, If-Match on its ETag fails, and the
write starts over with a GET. A write takes from it the number and time of the next version, and which identifiers are
new. The rest of the content is left out; no reader is served from it.

Bases are kept as bytes, not as objects. Long-lived objects between short-lived ones spread the allocator's memory: see
docs/performance.md, "Remembered bases are kept as bytes".
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
    """The bases that were used last, by tenant and key of `current.json`; at most `limit` of them."""

    def __init__(self, limit: int = 10_000) -> None:
        self._limit = limit
        self._bases: OrderedDict[str, bytes] = OrderedDict()  # the ETag, a newline, the record

    def get(self, tenant: str, key: str) -> Base | None:
        """Returns the remembered base, if there is one."""
        kept = self._bases.get(_name(tenant, key))
        if kept is None:
            return None
        etag, _, record = kept.partition(b"\n")
        return Base(_unpack(record), etag.decode(), whole=False)

    def remember(self, tenant: str, key: str, record: Record, etag: str) -> None:
        """Remembers that `current.json` held `record` with this ETag."""
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
        """Forgets a base that is or may be out of date."""
        self._bases.pop(_name(tenant, key), None)


def _name(tenant: str, key: str) -> str:
    return f"{tenant}\n{key}"  # neither contains a newline
