"""Fills a server with Patients, quickly: batches of PUTs, so that the ids are known."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from conformance.rates.load import LoadFailed, Target, offer
from conformance.rates.patients import patients, with_id
from conformance.rates.workload import MEDIA_TYPE

_ENTRIES = 100  # of a batch
_CONNECTIONS = 4  # a batch is many writes at once
_SECONDS = 3600.0


def ids(count: int) -> list[str]:
    """The ids of so many Patients."""
    return [f"p-{n:07}" for n in range(count)]


async def fill(target: Target, count: int) -> None:
    """Stores so many Patients. Raises LoadFailed."""
    tally = await offer(target, _batches(target, count), connections=_CONNECTIONS, seconds=_SECONDS)
    if tally.others((200,)):
        raise LoadFailed(f"filling the server: batches were answered {tally.statuses}")


def _batches(target: Target, count: int) -> Iterator[bytes]:
    entries = zip(ids(count), patients(), strict=False)
    while some := list(islice(entries, _ENTRIES)):
        body = b",".join(
            b'{"request":{"method":"PUT","url":"Patient/%s"},"resource":%s}' % (id_.encode(), with_id(patient, id_))
            for id_, patient in some
        )
        bundle = b'{"resourceType":"Bundle","type":"batch","entry":[%s]}' % body
        yield target.request("POST", "", bundle, {"Content-Type": MEDIA_TYPE, "Prefer": "return=minimal"})
