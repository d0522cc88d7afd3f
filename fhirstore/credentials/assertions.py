"""Assertions of clients count once, whichever process they come to: a conditional PUT is the cache of those used.

Commit point: the PUT IfAbsent of an empty object, whose key is a hash of client and `jti`. Without a clear answer the
assertion does not count: its client makes a new one. An object is kept until no assertion with its `jti` can be valid
any more (`KEPT`), and is then removed by the sweeper.
"""

from __future__ import annotations

import hashlib

from fhirstore.commit.drive import drive
from fhirstore.commit.idempotent import listed, removed
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Get, List, Protocol, Put, Refused
from fhirstore.commit.reading import ask
from fhirstore.errors import Unavailable
from fhirstore.format.keyspace import Keyspace
from fhirstore.objects.base import IF_ABSENT, Written
from fhirstore.tenancy import Place

KEPT = 3_600_000
"""Milliseconds. An assertion is valid for five minutes; the rest is for clocks that differ."""

_PAGES = 50  # of a pass


class Assertions:
    """The assertions that were used in one tenant."""

    def __init__(self, place: Place) -> None:
        self._place = place

    async def use(self, client: str, jti: str) -> bool:
        """Uses an assertion. Returns False where it was used before. 1 PUT. Raises Unavailable: it does not count."""
        digest = hashlib.sha256(f"{len(client)}:{client}{jti}".encode("utf-8", "surrogatepass")).hexdigest()
        return await drive(_used(self._place.keys.used_assertion(digest)), self._place.objects)


def _used(key: str) -> Protocol[bool]:
    (reply,) = yield (Put(key, b"", IF_ABSENT, None),)
    if isinstance(reply, Written):
        return True
    if isinstance(reply, Refused):
        return False
    raise Unavailable("The object store does not answer; try again later, with a new assertion")


def sweep_assertions(keys: Keyspace, *, context: Context, kept: int = KEPT) -> Protocol[int]:
    """Removes what is older than `kept` ms. Returns how many. 1 GET, 1 LIST and 1 DELETE per 1,000.

    Raises Unavailable, StoreDamaged.
    """
    (reply,) = yield from ask(Get(keys.sweep_state))  # for the store's time
    count = 0
    cursor: str | None = None
    for _ in range(_PAGES):
        page = yield from listed(List(keys.used_assertions(), cursor=cursor))
        old = [one.key for one in page.objects if one.modified < reply.date - kept]
        if old:
            yield from removed(*old)
        count += len(old)
        cursor = page.cursor
        if cursor is None:
            break
    return count
