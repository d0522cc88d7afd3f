"""What a history interaction is asked, and one page of its answer.

**Pages never shift.** A cursor is a place in the order of all events, `(t, key)`, never an offset. A version that was
committed before the first page was asked for has its place already, so it is on exactly one page, whatever is written
meanwhile. A version that is committed later sorts above the first page; in the seconds of a write's window it may
also sort below the top, and then it may be met on a later page: once, like any other.

**Polling with `since` loses nothing.** A write that carries the time t may commit until t + `Limits.settled` on the
store's clock (a transaction has the longest). So what an answer may have missed carries a time after `as_of` = store's
time - settled - 1 s (a Date header's resolution), read before the first request. All pages of an answer carry the first
page's `as_of`. Whoever passes it as the next `since` gets every version at least once, the last seconds' ones twice:
told apart by id and version id.

https://hl7.org/fhir/R4/http.html#history
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from fhirstore.commit.limits import Context
from fhirstore.errors import InvalidResource
from fhirstore.fhir.times import Period
from fhirstore.version import Version

DEFAULT_COUNT = 50
MAX_COUNT = 250
PAGE_BYTES = 16 * 1024 * 1024
_DATE_RESOLUTION = 1_000


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """`count`: entries wanted; a page may hold fewer, and never more than 250. 0: the total alone.

    `since`: only versions made at or after it, epoch ms. `at`: only versions that were current at some time in that
    period. `oldest_first`: the other way round.
    """

    count: int = DEFAULT_COUNT
    since: int | None = None
    at: Period | None = None
    oldest_first: bool = False

    @property
    def want(self) -> int:
        """Entries to look for."""
        return max(0, min(self.count, MAX_COUNT))


@dataclass(frozen=True, slots=True, repr=False)
class HistoryPage:
    """`next`: the cursor of the next page, None on the last one. `total`: of all pages, where it is known.

    `previous`: the cursor of the page before, None on the first one and where it is not known any more.
    `as_of`: epoch ms; pass it as the next `since` to miss nothing (see above).
    """

    versions: tuple[Version, ...]
    next: str | None
    as_of: int
    total: int | None = None
    previous: str | None = None

    def __repr__(self) -> str:
        return f"<HistoryPage of {len(self.versions)} versions{', more follow' if self.next else ''}>"


def since_time(query: HistoryQuery, since: datetime) -> HistoryQuery:
    """Returns the query with `since` at this time, rounded down to a millisecond. Raises InvalidResource."""
    if not isinstance(since, datetime) or since.tzinfo is None:
        raise InvalidResource("since must be a datetime with a time zone", code="value")
    return replace(query, since=(since - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1))


def safe_time(context: Context) -> int:
    """Nothing that carries an earlier time can still become visible."""
    return max(0, context.now() - context.limits.settled - _DATE_RESOLUTION)
