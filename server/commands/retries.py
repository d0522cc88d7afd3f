"""When a client's request is sent again: after which failures, how often, and how long it waits before.

https://www.rfc-editor.org/rfc/rfc9110#name-retry-after
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

import aiohttp

from fhirstore.clock import Ids

NO_ANSWER = (aiohttp.ClientError, TimeoutError)
NEVER_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
BUSY = frozenset({429, 502, 503, 504})
DID_NOTHING = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a request is sent at most, and the seconds between: doubled from `first` to `longest`, with jitter.

    A longer Retry-After of the server takes precedence, up to `patience` seconds.
    """

    attempts: int = 8
    first: float = 0.25
    longest: float = 10.0
    patience: float = 60.0

    def pause(self, attempt: int, *, asked: float, ids: Ids) -> float:
        """Returns the seconds to wait after the `attempt`-th request. `asked`: the seconds of Retry-After."""
        ours = min(self.longest, self.first * 2 ** (attempt - 1))
        least = min(max(asked, ours / 2), self.patience)
        return ids.jitter(least, max(least * 1.25, ours))


def seconds_asked(retry_after: str, *, now: int) -> float:
    """Returns the seconds that a Retry-After header, a number or a date, means at `now` (epoch ms)."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after)
    try:
        date = parsedate_to_datetime(retry_after)
    except ValueError:
        return 0.0
    aware = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, aware.timestamp() - now / 1000)
