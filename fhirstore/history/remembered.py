"""What a process remembers between histories: the density of recent events, and the sweeper's watermark.

The density is only a hint where to start a LIST. A watermark that is out of date is lower than the present one, so it
only costs more GETs.
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
    """Outlooks and watermarks by tenant; at most `limit` of each, those that were used last."""

    def __init__(self, limit: int = 1_000) -> None:
        self._limit = limit
        self._outlooks: OrderedDict[tuple[str, str], tuple[Outlook, int]] = OrderedDict()
        self._watermarks: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def outlook(self, tenant: str, prefix: str, now: int) -> Outlook | None:
        """Returns what the last LIST of the newest events below `prefix` showed, if there was one.

        If more new events are expected than the outlook knows of, it counts on one known event only.
        """
        found = self._outlooks.get((tenant, prefix))
        if found is None:
            return None
        outlook, seen = found
        expected = abs(now - seen) / outlook.pace
        return outlook if expected < outlook.known else msgspec.structs.replace(outlook, known=min(outlook.known, 1))

    def remember(self, tenant: str, prefix: str, outlook: Outlook, now: int) -> None:
        """Remembers what a LIST of the newest events below `prefix` has just shown."""
        _keep(self._outlooks, (tenant, prefix), (outlook, now), self._limit)

    def watermark(self, tenant: str, keys: Keyspace, now: int) -> Protocol[int]:
        """Returns the watermark, epoch ms; 0 before the first sweep. At most 1 GET a minute. Raises Unavailable."""
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
