"""What this process last saw of a resource's `current.json`, so that an update can skip its GET.

A remembered base is a guess that the commit point checks: If-Match on its ETag fails when it is stale, and the write
starts over with a GET. It is there to number and time the next version, and to tell which of its identifiers are new.
The rest of its content may be missing, and nothing is ever read from it.
"""

from __future__ import annotations

from collections import OrderedDict

from msgspec.structs import replace

from fhirstore.commit.attempt import Base
from fhirstore.identifiers import without_the_rest
from fhirstore.record import Record

_SMALL = 4096  # bytes of content that are not worth a copy of the record without them


class RememberedBases:
    """The most recently used bases, by tenant and key of `current.json`; at most `limit` of them."""

    def __init__(self, limit: int = 10_000) -> None:
        self._limit = limit
        self._bases: OrderedDict[tuple[str, str], Base] = OrderedDict()

    def get(self, tenant: str, key: str) -> Base | None:
        """The base to try, if any."""
        return self._bases.get((tenant, key))

    def remember(self, tenant: str, key: str, record: Record, etag: str) -> None:
        """`current.json` held `record` under `etag` a moment ago."""
        name = (tenant, key)
        known = self._bases.get(name)
        if known is not None and known.etag == etag:
            self._bases.move_to_end(name)
            return
        if record.resource is not None and len(record.resource) > _SMALL:
            record = replace(record, resource=without_the_rest(record.resource))
        self._bases[name] = Base(record, etag, whole=False)
        self._bases.move_to_end(name)
        if len(self._bases) > self._limit:
            self._bases.popitem(last=False)

    def forget(self, tenant: str, key: str) -> None:
        """It turned out to be stale, or became so."""
        self._bases.pop((tenant, key), None)
