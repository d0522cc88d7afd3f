"""One page of a search by somebody who does not see everything. The answer does not depend on what is hidden.

`page` may end where many candidates were read, and its cursors name the last one that was read. Here a page is full, or
the last one; a cursor names a match that was shown. So nothing of what lies between the matches is told: not how much
it is, and no id. There is one exception, that a search along the history stops after `_MOST` resources, and then has a
cursor with the time where it goes on, unless it has found a match; no total is known then.

Cost: that of reading all candidates up to the first match that is not shown.
"""

from __future__ import annotations

from collections.abc import Sequence

from fhirstore.commit.messages import Protocol
from fhirstore.errors import InvalidResource
from fhirstore.fhir.times import Period
from fhirstore.history.bracket import time_of
from fhirstore.history.cursor import EventsCursor
from fhirstore.history.events import EventsHistory
from fhirstore.history.page import DEFAULT_COUNT, MAX_COUNT, PAGE_BYTES, HistoryQuery
from fhirstore.history.records import Budget
from fhirstore.history.seen import fitting, resumed_at
from fhirstore.history.whole_transactions import at
from fhirstore.paging import encode
from fhirstore.search.candidates import Match, candidates
from fhirstore.search.last_updated import enclosing
from fhirstore.search.newest_first import NewestFirst
from fhirstore.search.page import AfterId, Older, Search, SearchPage, decode_cursor, versions_of
from fhirstore.version import Version

_MOST = 20_000  # resources that one page reads


def seen_page(search: Search, count: int | None, cursor_text: str | None) -> Protocol[SearchPage]:
    """Returns what `Search.page` does, for criteria with `sees`. Raises InvalidResource (too many candidates), too."""
    want = max(0, min(DEFAULT_COUNT if count is None else count, MAX_COUNT))
    cursor = decode_cursor(cursor_text)
    if not want:
        return SearchPage((), None, (yield from seen_total(search)), search.criteria)
    if search.criteria.found_by_index:
        after = cursor.id or None if isinstance(cursor, AfterId) else None
        matches, _ = yield from _by_index(search, want, after)
        found = versions_of(matches)
        shown = fitting(found[:want])
        following = encode(AfterId(shown[-1].id)) if len(shown) < len(found) else None
        return _page(search, shown, following, first=cursor is None)
    older = cursor if isinstance(cursor, Older) else None
    walk = yield from _newest_first(search, want, older)
    shown = fitting(walk.found[:want])
    name: str | None = None
    if shown and (len(shown) < len(walk.found) or walk.rest is not None):
        name = at(walk.names[len(shown) - 1])
    elif walk.rest is not None:
        name = resumed_at(walk.rest)
    following = None if name is None else encode(Older(walk.began, encode(EventsCursor(name, 0))))
    return _page(search, shown, following, first=cursor is None)


def seen_total(search: Search) -> Protocol[int | None]:
    """Returns the number of matches that are seen; None where more than `_MOST` resources would have to be read."""
    if search.criteria.found_by_index:
        _, total = yield from _by_index(search, 0, None)
        return total
    walk = yield from _newest_first(search, 0, None)
    return None if walk.rest is not None else walk.total


def _page(search: Search, shown: Sequence[Version], following: str | None, *, first: bool) -> SearchPage:
    total = len(shown) if first and following is None else None
    return SearchPage(tuple(shown), following, total, search.criteria)


def _by_index(search: Search, want: int, after: str | None) -> Protocol[tuple[list[Match], int]]:
    """Returns more than `want` matches, or all, or as many as fit into a page; and their number. `want` 0: none."""
    found = candidates(search.keys, search.criteria, after=after, limit=2 * want + 1 if want else 1_000)
    budget = Budget(PAGE_BYTES)
    matches: list[Match] = []
    looked = total = 0
    while not want or (len(matches) <= want and budget.room > 0):
        some = yield from found.next(budget.at_once)
        if not some:
            break
        looked += len(some)
        if looked > _MOST:
            raise InvalidResource("Too many resources have what is searched for; be more selective", code="too-costly")
        new = yield from found.matching(some)
        total += len(new)
        for match in new:
            if match.base.record is not None:
                budget.spend(match.base.record) if want else budget.expect(match.base.record)
        matches += new if want else ()
    return matches, total


class _Walk:
    """What a search along the history has found: matches, the events at which they are shown, and where it stopped."""

    def __init__(self, began: int) -> None:
        self.began = began
        self.found: list[Version] = []
        self.names: list[str] = []
        self.total = 0
        self.rest: int | None = None  # epoch ms


def _newest_first(search: Search, want: int, cursor: Older | None) -> Protocol[_Walk]:
    """Walks until there are more than `want` matches, or as many as fit into a page, or the end. `want` 0: counts."""
    recent = NewestFirst(
        search.keys,
        search.prefix,
        search.criteria,
        search.context.now() if cursor is None else cursor.began,
        first=cursor is None,
    )
    stretch = enclosing(search.criteria.updated)
    walk = _Walk(recent.began)
    following = None if cursor is None else cursor.history
    bytes_ = 0
    size = want + 1 if want else MAX_COUNT
    while True:
        query = HistoryQuery(min(size, MAX_COUNT), since=stretch.start or None, at=Period(0, stretch.end))
        events = EventsHistory(
            search.tenant, search.keys, search.criteria.type, query, search.remembered, search.context
        )
        page = yield from events.page(following, read=recent.versions)
        walk.began = recent.began
        walk.total += len(page.versions)
        bytes_ += sum(len(one.content) for one in page.versions)
        if want:
            walk.found += page.versions
            walk.names = recent.names
        following = page.next
        if following is None or (want and (len(walk.found) > want or bytes_ > PAGE_BYTES)):
            return walk
        if recent.looked > _MOST:
            walk.rest = time_of(recent.last)
            return walk
        size *= 2
