"""The query of a history interaction, and one page of its answer. Clients may rely on two properties.

**Pages do not shift.** A cursor is a position in the order of all events, `(t, key)`, and not an offset. A version that
was committed before the first page was requested is on exactly one page, whatever is written in between. A version that
is committed later sorts above the first page. For the seconds of its write window it may also sort below the top of the
first page; then it may be on a later page, once.

**Polling with `since` loses nothing.** A write with the time t may be committed until t + `Limits.settled` on the
store's clock. So a version that an answer has missed has a time after `as_of`, which is the store's time before the
first request, minus `settled`, minus 1 s (the resolution of a Date header). All pages of an answer have the `as_of` of
the first one. A client that passes it as the next `since` gets every version at least once, and those of the last
seconds twice; it can tell by id and version id.

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
    """`count`: the number of entries wanted, at most 250; a page may have fewer. 0: only the total.

    `since`: only versions made at or after it, epoch ms. `at`: only versions that were current at some time in that
    period. `oldest_first`: oldest version first instead of newest first.
    """

    count: int = DEFAULT_COUNT
    since: int | None = None
    at: Period | None = None
    oldest_first: bool = False

    @property
    def want(self) -> int:
        """Returns the number of entries to look for."""
        return max(0, min(self.count, MAX_COUNT))


@dataclass(frozen=True, slots=True, repr=False)
class HistoryPage:
    """`next`: the cursor of the next page, None on the last one. `total`: of all pages, if it is known.

    `previous`: the cursor of the page before, None on the first one, or if it is not known any more.
    `as_of`: epoch ms; a client passes it as the next `since` (see above).
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
    """Returns the safe time, epoch ms: no version with an earlier time can still become visible."""
    return max(0, context.now() - context.limits.settled - _DATE_RESOLUTION)
