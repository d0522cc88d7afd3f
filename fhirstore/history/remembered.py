"""What a process keeps between histories: how fast events come, and the sweeper's watermark. Hints, never answers.

Every event before the watermark has been checked by the sweeper: it belongs to a committed version. So a reader may
trust it without looking at the resource's current version.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

import msgspec

from fhirstore.commit.messages import Protocol
from fhirstore.format.keyspace import Keyspace
from fhirstore.history.cursor import Outlook
from fhirstore.history.watermark import read_watermark

_WATERMARK_AGE = 60_000  # ms
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class RememberedHistories:
    """By tenant; at most `limit` of the most recently used outlooks, and as many watermarks."""

    def __init__(self, limit: int = 1_000) -> None:
        self._limit = limit
        self._outlooks: OrderedDict[tuple[str, str], tuple[Outlook, int]] = OrderedDict()
        self._watermarks: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def outlook(self, tenant: str, prefix: str, now: int) -> Outlook | None:
        """What the last look at the newest events below `prefix` taught; older looks are trusted less."""
        found = self._outlooks.get((tenant, prefix))
        if found is None:
            return None
        outlook, seen = found
        expected = abs(now - seen) / outlook.pace
        return outlook if expected < outlook.known else msgspec.structs.replace(outlook, known=min(outlook.known, 1))

    def remember(self, tenant: str, prefix: str, outlook: Outlook, now: int) -> None:
        """The newest events below `prefix` were just listed."""
        _keep(self._outlooks, (tenant, prefix), (outlook, now), self._limit)

    def watermark(self, tenant: str, keys: Keyspace, now: int) -> Protocol[int]:
        """Epoch ms; 0 where nobody swept yet. At most 1 GET a minute per tenant. Raises Unavailable."""
        found = self._watermarks.get(tenant)
        if found is not None and 0 <= now - found[1] < _WATERMARK_AGE:
            return found[0]
        watermark = yield from read_watermark(keys)
        _keep(self._watermarks, tenant, (watermark, now), self._limit)
        return watermark


def _keep(kept: OrderedDict[_Key, _Value], key: _Key, value: _Value, limit: int) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > limit:
        kept.popitem(last=False)
