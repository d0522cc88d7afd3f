"""What a process keeps between histories: how fast events come, and the sweeper's watermark. Hints, never answers.

Every event before the watermark has been checked by the sweeper: it belongs to a committed version. So a reader may
trust it without looking at the resource's current version.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

import msgspec

from fhirstore.commit.messages import Absent, Get, Protocol
from fhirstore.commit.reading import ask
from fhirstore.history.cursor import Outlook
from fhirstore.keyspace import Keyspace

_WATERMARK_AGE = 60_000  # ms
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class _SweepState(msgspec.Struct, frozen=True):
    watermark: int = 0


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
        (reply,) = yield from ask(Get(keys.sweep_state))
        watermark = 0 if isinstance(reply, Absent) else _watermark_in(reply.body)
        _keep(self._watermarks, tenant, (watermark, now), self._limit)
        return watermark


def _watermark_in(body: bytes) -> int:
    """A state that cannot be read is no watermark: it only saves requests."""
    try:
        return msgspec.json.decode(body, type=_SweepState).watermark
    except msgspec.MsgspecError:
        return 0


def _keep(kept: OrderedDict[_Key, _Value], key: _Key, value: _Value, limit: int) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > limit:
        kept.popitem(last=False)
