"""The bound on failing token requests: who tries keys, client ids or assertions is slowed down before any work is done.

Only failures count. They count for the address that they come from, and for the client that it names: so a client whose
key is wrong does not lock out others behind the same proxy, and who tries many clients is bounded all the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

from server.access.token_bucket import TokenBucket

PER_CLIENT = (0.5, 10.0)
PER_ADDRESS = (5.0, 50.0)
"""Failures a second, and at once."""

_MOST = 10_000


class Failures:
    """Counts the failing requests of a process. `now`: seconds that only go forward."""

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._buckets: dict[tuple[str, str], TokenBucket] = {}

    def wait(self, address: str, client: str) -> float:
        """Returns the seconds until this client may try again from this address; 0: at once."""
        network = _network(address)
        found = (self._buckets.get(key) for key in ((network, client), (network, "")))
        return max((bucket.wait(1.0) for bucket in found if bucket is not None), default=0.0)

    def count(self, address: str, client: str) -> None:
        """Counts a failure."""
        network = _network(address)
        for key, (rate, least) in (((network, client), PER_CLIENT), ((network, ""), PER_ADDRESS)):
            bucket = self._buckets.get(key)
            if bucket is None:
                while len(self._buckets) >= _MOST:
                    del self._buckets[next(iter(self._buckets))]
                bucket = self._buckets[key] = TokenBucket(rate, now=self._now, least=least)
            bucket.take(1.0)


def _network(address: str) -> str:
    """Returns the address; of IPv6 its network of 64 bits, which one client can have all of."""
    try:
        found = ip_address(address)
    except ValueError:
        return address[:64]
    return str(int(found) >> 64) if isinstance(found, IPv6Address) and found.ipv4_mapped is None else str(found)
