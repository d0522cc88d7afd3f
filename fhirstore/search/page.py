"""One page of a search, and where the next one starts.

Matches found by ids or by the index are in the order of their ids (`entries.sort_key`); all others newest first. A
cursor is a position in that order. It is opaque to clients and names neither tenant nor criteria: a forged one can only
return other pages of the same search.

https://hl7.org/fhir/R4/http.html#paging
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import msgspec

from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Protocol
from fhirstore.errors import InvalidResource
from fhirstore.fhir.times import Period
from fhirstore.format.keyspace import Keyspace
from fhirstore.history.cursor import LONGEST
from fhirstore.history.events import EventsHistory
from fhirstore.history.page import DEFAULT_COUNT, MAX_COUNT, PAGE_BYTES, HistoryQuery
from fhirstore.history.records import Budget
from fhirstore.history.remembered import RememberedHistories
from fhirstore.paging import decode, encode
from fhirstore.search.candidates import Match, candidates
from fhirstore.search.criteria import Criteria
from fhirstore.search.entries import sort_key
from fhirstore.search.last_updated import enclosing
from fhirstore.search.newest_first import NewestFirst
from fhirstore.version import Version, version_of

_ROUNDS = 4  # pages of the history per page of the search; then it is shorter than asked for
_MOST_BEFORE = 8  # pages that a cursor leads back to
_COUNTED = 4  # pages that are read for a total
_LOOKED = _COUNTED * MAX_COUNT  # the most candidates that one page reads


@dataclass(frozen=True, slots=True, repr=False)
class SearchPage:
    """`matches`: at most as many as asked for, sometimes fewer. `next`: the cursor of the next page, None on the last.

    `total`: of all pages, None where it is not known. `criteria`: with the parameters used and ignored. `previous`: the
    cursor of the page before, None on the first page and where it is not known any more.
    """

    matches: tuple[Version, ...]
    next: str | None
    total: int | None
    criteria: Criteria
    previous: str | None = None

    def __repr__(self) -> str:
        return f"<SearchPage of {len(self.matches)} matches{', more follow' if self.next else ''}>"


_Id = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9.-]{0,64}\Z")]


class AfterId(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="a"):
    """The page after `id`; "" for the first.

    `before`: the ids of the last few pages before it. `last`: the id where a page ends that was returned before; "":
    the page ends where it is full.
    """

    id: _Id
    before: Annotated[tuple[_Id, ...], msgspec.Meta(max_length=_MOST_BEFORE)] = ()
    last: _Id = ""


class Older(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="o"):
    """A page of the history as it was when the search `began`. `back`: exactly a page that was returned before."""

    began: Annotated[int, msgspec.Meta(ge=0, lt=10**13)]
    history: Annotated[str, msgspec.Meta(max_length=LONGEST)]
    back: bool = False


_CURSORS: msgspec.json.Decoder[AfterId | Older] = msgspec.json.Decoder(AfterId | Older)


@dataclass(frozen=True, slots=True)
class Search:
    """One search of a tenant."""

    tenant: str
    keys: Keyspace
    criteria: Criteria
    remembered: RememberedHistories
    context: Context

    @property
    def prefix(self) -> str:
        """The prefix of the history along which it goes."""
        return self.keys.system_history() if self.criteria.type is None else self.keys.type_history(self.criteria.type)

    def page(self, count: int | None, cursor_text: str | None) -> Protocol[SearchPage]:
        """Returns the first page, or the one of the cursor. `count`: matches wanted, at most 250; 0: only the total, if
        it is known. Raises InvalidResource (cursor), Unavailable, CorruptRecord."""
        want = max(0, min(DEFAULT_COUNT if count is None else count, MAX_COUNT))
        cursor = decode_cursor(cursor_text)
        if self.criteria.found_by_index:
            return (yield from self._by_index(want, cursor if isinstance(cursor, AfterId) else None))
        return (yield from self._newest_first(want, cursor if isinstance(cursor, Older) else None))

    def total(self) -> Protocol[int | None]:
        """Returns the number of matches; None where that needs more than a thousand resources to be read."""
        if self.criteria.found_by_index:
            return (yield from self._by_index(0, None)).total
        found, cursor = 0, None
        for _ in range(_COUNTED):
            page = yield from self._newest_first(MAX_COUNT, cursor)
            found += len(page.matches)
            following = decode_cursor(page.next)
            if not isinstance(following, Older):
                return found
            cursor = following
        return None

    def _by_index(self, want: int, cursor: AfterId | None) -> Protocol[SearchPage]:
        after = None if cursor is None else cursor.id or None
        last = "" if cursor is None else cursor.last
        found = candidates(self.keys, self.criteria, after=after, limit=2 * want + 1 if want else 1_000)
        budget = Budget(PAGE_BYTES)
        matches: list[Match] = []
        total = looked = 0
        while looked < _LOOKED and (not want or (len(matches) < want and budget.room > 0)):
            some = yield from found.next(min(budget.at_once, want - len(matches)) if want else budget.at_once)
            ended = bool(last) and any(sort_key(one.id) > sort_key(last) for one in some)
            some = [one for one in some if sort_key(one.id) <= sort_key(last)] if ended else some
            if not some:
                break
            new = yield from found.matching(some)
            total += len(new)
            for match in new:
                if match.base.record is not None:
                    budget.spend(match.base.record) if want else budget.expect(match.base.record)
            matches += new if want else ()
            looked += len(some)
            after = some[-1].id
            if ended or after == last:
                break
        after = last if ended else after
        more = after is not None and (ended or (yield from found.more()))
        start, before = ("", ()) if cursor is None else (cursor.id, cursor.before)
        following = previous = None
        if more and want and after is not None:
            following = encode(AfterId(after, (*before, start)[-_MOST_BEFORE:]))
        if before:
            previous = encode(AfterId(before[-1], before[:-1], start))
        total_known = cursor is None and not more
        return SearchPage(versions_of(matches), following, total if total_known else None, self.criteria, previous)

    def _newest_first(self, want: int, cursor: Older | None) -> Protocol[SearchPage]:
        recent = NewestFirst(
            self.keys,
            self.prefix,
            self.criteria,
            self.context.now() if cursor is None else cursor.began,
            first=cursor is None,
        )
        stretch = enclosing(self.criteria.updated)
        found: list[Version] = []
        following = None if cursor is None else cursor.history
        previous: str | None = None
        first = True
        for _ in range(_ROUNDS):
            query = HistoryQuery(want - len(found), since=stretch.start or None, at=Period(0, stretch.end))
            events = EventsHistory(self.tenant, self.keys, self.criteria.type, query, self.remembered, self.context)
            page = yield from events.page(following, read=recent.versions)
            found += page.versions
            following = page.next
            previous = page.previous if first else previous
            first = False
            if (
                following is None
                or (cursor is not None and cursor.back)
                or len(found) >= want
                or sum(len(one.content) for one in found) > PAGE_BYTES // 2
            ):
                break
        total = len(found) if want and cursor is None and following is None else None
        following = None if following is None else encode(Older(recent.began, following))
        previous = None if previous is None else encode(Older(recent.began, previous, back=True))
        return SearchPage(tuple(found), following, total, self.criteria, previous)


def versions_of(matches: Iterable[Match]) -> tuple[Version, ...]:
    """Returns the matches as they are shown."""
    return tuple(
        version_of(match.keys.type, match.keys.id, record)
        for match in matches
        if (record := match.base.record) is not None
    )


def decode_cursor(text: str | None) -> AfterId | Older | None:
    """Reads a cursor. Raises InvalidResource."""
    if text is None:
        return None
    try:
        return decode(text, _CURSORS, longest=2 * LONGEST)
    except ValueError as error:
        raise InvalidResource(
            "The cursor is not one that this search gave out; start again without it", code="value"
        ) from error
